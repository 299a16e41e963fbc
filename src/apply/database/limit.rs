//! What the server of the primary may execute of the secondary's: the rights that bind its applier.

use anyhow::Result;

use super::guard;
use crate::adapters::random;
use crate::adapters::server::session::Session;
use crate::domain::accounts::APPLIER_USER;
use crate::domain::flavor::Flavor;
use crate::domain::own_schema::Rights;
use crate::domain::pair::Pair;
use crate::domain::settings::OWN_SCHEMA;
use crate::domain::sql::quote_name;

/// Gives the applier account only the rights for audit rows and the other node's heartbeat.
///
/// It does nothing if the server cannot limit its applier.
pub async fn make(flavor: &Flavor, session: &mut Session, pair: &Pair) -> Result<()> {
    if !flavor.limits_the_applier() {
        return Ok(());
    }
    let mut grants: Vec<String> =
        flavor.rights_of_the_applier().iter().map(|right| format!("{right} ON *.*")).collect();
    if session.one(format!("SHOW TABLES FROM {OWN_SCHEMA} LIKE 'heartbeat'")).await?.is_some() {
        grants.push(format!("UPDATE ON {OWN_SCHEMA}.heartbeat"));
    }
    for table in guard::tables_in(session, pair, |table| pair.audit_tables.contains(table)).await? {
        grants.push(format!("INSERT, SELECT ON {}.{}", quote_name(&pair.schema), quote_name(&table)));
    }
    // Nobody knows the password: if somebody unlocks the account, it still lets nobody in.
    for sql in flavor.make_locked_account(APPLIER_USER, &random::password(), &grants) {
        session.run(sql).await?;
    }
    guard::note(flavor, session, APPLIER_USER, Rights::OfTheApplier).await
}
