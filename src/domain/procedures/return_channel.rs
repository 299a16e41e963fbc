//! `repair --return-channel`: the plan that puts the return channel right on the primary.
//!
//! A server that limits its applier has executed nothing of what it stopped at: it is left out. Elsewhere it
//! is too late. What was done is shown, and marked as seen.

use crate::domain::pair::Role;
use crate::domain::plan::{Command, HomeIdentity, Plan, Step};
use crate::domain::refusal::Refusal;
use crate::domain::returned::{Returned, is_refusal, without_statement};

/// What is read before anything is done.
#[derive(Debug, Clone)]
pub struct ReturnScene {
    /// The home.
    pub identity: HomeIdentity,
    /// The role of this home.
    pub role: Role,
    /// Why the server here refuses the login, if it does.
    pub here: Option<String>,
    /// The error of the applier, if it does not run.
    pub applier_error: Option<(u32, String)>,
    /// Whether the server itself limits what its applier does.
    pub limited: bool,
    /// What the secondary has sent, where the server does not.
    pub returned: Option<Returned>,
}

const WHAT: &str = "cannot repair the return channel";

/// Returns every reason not to begin.
#[must_use]
pub fn check(look: &ReturnScene) -> Vec<Refusal> {
    if look.role == Role::Secondary {
        return vec![Refusal::new(
            WHAT,
            "this home is the secondary, and the primary refuses or executes what it sends",
            "Run `pmp-ha repair --return-channel` on the primary. `pmp-ha repair` makes the rows here equal to the primary's.",
        ).code("is-secondary")];
    }
    if let Some(why) = &look.here {
        return vec![
            Refusal::new(
                WHAT,
                format!("the database here refuses the login: {why}"),
                "Start it with `pmp-ha start`.",
            )
            .code("login-refused"),
        ];
    }
    match &look.applier_error {
        Some((number, message)) if look.limited && *number != 0 && !is_refusal(*number) => {
            vec![
                Refusal::new(
                    WHAT,
                    format!(
                        "the applier stopped for another reason: error {number}: {}",
                        without_statement(message)
                    ),
                    "See `pmp-ha verify`.",
                )
                .code("other-applier-error"),
            ]
        }
        _ => vec![],
    }
}

/// Returns the plan; `None` if there is nothing to repair.
#[must_use]
pub fn plan(look: &ReturnScene) -> Option<Plan> {
    let mut steps = Vec::new();
    let mut warnings = Vec::new();
    if let (true, Some((number, message))) = (look.limited, &look.applier_error)
        && is_refusal(*number)
    {
        steps.push(Step::LeaveOut { what: format!("error {number}: {}", without_statement(message)) });
        warnings.push(
            "every later transaction that the server refuses is left out, too, with its audit rows; `pmp-ha repair` on the secondary sends those rows again".into(),
        );
    }
    if let Some(reading) = look.returned.as_ref().filter(|reading| reading.total > 0) {
        steps.push(Step::Acknowledge { reading: reading.clone() });
        warnings
            .push("this changes no row: what was written into the primary stays until you restore it".into());
    }
    (!steps.is_empty()).then(|| Plan {
        command: Command::Repair,
        home: look.identity.clone(),
        warnings,
        steps,
        point_of_no_return: 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::errant::Errant;

    fn look(limited: bool) -> ReturnScene {
        ReturnScene {
            identity: HomeIdentity { path: "/x".into(), device: 1, inode: 2 },
            role: Role::Primary,
            here: None,
            applier_error: None,
            limited,
            returned: None,
        }
    }

    #[test]
    fn what_the_server_refused_is_left_out_and_nothing_else_is() {
        assert_eq!(plan(&look(true)), None);
        let stopped =
            |number| ReturnScene { applier_error: Some((number, "denied. Query: 'x'".into())), ..look(true) };
        let plan = plan(&stopped(1142)).expect("a plan");
        assert_eq!(plan.steps, [Step::LeaveOut { what: "error 1142: denied.".into() }]);
        assert!(plan.is_repair() && check(&stopped(1142)).is_empty());
        assert_eq!(check(&stopped(1062)).len(), 1);
    }

    #[test]
    fn what_another_server_may_have_executed_is_shown_and_marked_as_seen() {
        let mut reading = Returned::of("p");
        reading.found =
            vec![Errant { file: "r.1".into(), position: 4, what: "rows of a.b were deleted".into() }];
        reading.total = 3;
        let found = ReturnScene { returned: Some(reading), ..look(false) };
        let plan = plan(&found).expect("a plan");
        let text = plan.to_string();
        assert!(text.contains("rows of a.b were deleted (r.1:4)") && text.contains("and 2 more"), "{text}");
    }

    #[test]
    fn the_secondary_is_refused() {
        assert_eq!(check(&ReturnScene { role: Role::Secondary, ..look(true) }).len(), 1);
        assert_eq!(check(&ReturnScene { here: Some("2002".into()), ..look(true) }).len(), 1);
    }
}
