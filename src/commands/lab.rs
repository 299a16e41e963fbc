//! `pmp-ha lab up | home | sql | down`

use anyhow::Result;

use super::{Context, absolute};
use crate::cli::LabCommand;
use crate::lab::{self, Content};

pub async fn run(context: &Context<'_>, command: LabCommand) -> Result<()> {
    if context.global.dry_run {
        return context.ui.would(&match &command {
            LabCommand::Up(args) => format!("create a lab in {}", args.dir.display()),
            LabCommand::Home(args) => format!("create one more home in {}", args.dir.display()),
            LabCommand::Sql(args) => format!("query the database of {}", args.dir.display()),
            LabCommand::Down(args) => {
                format!("stop the databases in {} and remove it", args.dir.display())
            }
        });
    }
    match command {
        LabCommand::Up(args) => {
            let like = args.like.as_deref().map(absolute);
            let wanted = like.as_deref().map_or(Content::Megabytes(args.size), Content::Like);
            let made =
                lab::up(&absolute(&args.dir), &args.server, wanted, context.ui, &context.interrupt).await?;
            context.ui.data(&made)
        }
        LabCommand::Home(args) => {
            let like = args.like.as_deref().map(absolute);
            let wanted = like.as_deref().map_or(Content::Megabytes(0), Content::Like);
            let dir = absolute(&args.dir);
            let made = lab::one_more(&dir, &args.server, wanted, context.ui, &context.interrupt).await?;
            context.ui.data(&made)
        }
        LabCommand::Sql(args) => {
            let rows = lab::sql(&absolute(&args.dir), &args.statement).await?;
            context.ui.data(&rows)
        }
        LabCommand::Down(args) => {
            let removed = lab::down(&absolute(&args.dir), context.ui, &context.interrupt).await?;
            context.ui.done(&removed)
        }
    }
}
