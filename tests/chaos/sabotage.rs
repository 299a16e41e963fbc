//! Breaks a promise on purpose. A proof that passes then would be none.

use clap::ValueEnum;

use crate::harness::sql::Db;
use crate::pair::Pair;

/// Which promise.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Sabotage {
    /// An acknowledged row goes, on both nodes.
    Lose,
    /// A row comes twice, on both nodes.
    Double,
    /// The secondary takes application writes.
    TwoWritable,
}

impl Sabotage {
    /// Does it.
    #[track_caller]
    pub fn strike(self, pair: &Pair) {
        let [primary, secondary] = [pair.primary, pair.primary.peer()].map(|node| pair.node(node));
        match self {
            Self::Lose => drop(Db::admin(primary).rows("DELETE FROM passtrix.work LIMIT 1")),
            Self::Double => {
                drop(
                    Db::admin(primary).rows("INSERT INTO passtrix.work SELECT * FROM passtrix.work LIMIT 1"),
                );
            }
            Self::TwoWritable => {
                let mut db = Db::admin(secondary);
                db.rows("SET sql_log_bin = 0");
                db.rows("GRANT ALL PRIVILEGES ON *.* TO 'root'@'localhost'");
            }
        }
    }
}
