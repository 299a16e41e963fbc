//! `pmp-ha lab up | home | sql | down`

use anyhow::Result;

use super::{Context, absolute};
use crate::cli::LabCommand;
use crate::lab;

pub async fn run(context: &Context<'_>, command: LabCommand) -> Result<()> {
    match command {
        LabCommand::Up(args) => {
            let made = lab::up(&absolute(&args.dir), &args.server, args.size, context.ui, &context.interrupt)
                .await?;
            context.ui.data(&made)
        }
        LabCommand::Home(args) => {
            let made =
                lab::one_more(&absolute(&args.dir), &args.server, context.ui, &context.interrupt).await?;
            context.ui.data(&made)
        }
        LabCommand::Sql(args) => {
            let rows = lab::sql(&absolute(&args.dir), &args.statement).await?;
            context.ui.data(&rows)
        }
        LabCommand::Down(args) => lab::down(&absolute(&args.dir), context.ui, &context.interrupt).await,
    }
}
