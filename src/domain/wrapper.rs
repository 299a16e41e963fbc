//! The configuration of the wrapper that starts Password Manager Pro's Java: `conf/wrapper_lin.conf`.
//!
//! `%NAME%` stands for a variable of the environment, which a line `set.NAME=value` or `set.default.NAME=value`
//! may set. Source: the public documentation of the Java Service Wrapper.

/// The option of Java that moves `conf/database_params.conf`.
const MOVED: &str = "-Ddatabaseparams.file=";

/// The variables in which installations keep the path of the home.
const HOME: [&str; 3] = ["PMP_HOME", "SERVER_HOME", "WRAPPER_HOME"];

/// Returns where `conf/database_params.conf` is, if the text of the configuration moves it. A relative path
/// begins in the folder bin of `home`.
#[must_use]
pub fn moved_params(text: &str, home: &str) -> Option<String> {
    let lines = || text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    // Of two options of the same name, Java takes the last one.
    let value = lines().filter_map(|line| line.split_once(MOVED)).next_back()?.1;
    let mut out = String::new();
    let mut rest = value.trim().trim_matches('"');
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        let Some((name, behind)) = after.split_once('%') else {
            out.push('%');
            rest = after;
            continue;
        };
        let mut set = lines().filter_map(|line| {
            let assigned = line.strip_prefix("set.default.").or_else(|| line.strip_prefix("set."))?;
            let (variable, value) = assigned.split_once('=')?;
            (variable.trim() == name).then(|| value.trim())
        });
        match set.next_back() {
            Some(value) => out.push_str(value),
            None if HOME.contains(&name) => out.push_str(home),
            // Nobody but the product knows it: the path shows what is missing.
            None => out.extend(["%", name, "%"]),
        }
        rest = behind;
    }
    Some(out + rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_of_the_parameters_may_be_moved() {
        let moved = |text: &str| moved_params(text, "/opt/PMP");
        let option = "wrapper.java.additional.9=-Ddatabaseparams.file=";
        assert_eq!(moved("# nothing\n"), None);
        assert_eq!(moved(&format!("#{option}/old\n")), None);
        for (value, path) in [
            ("../conf/db.conf", "../conf/db.conf"),
            ("\"/secure/db.conf\"", "/secure/db.conf"),
            ("/first\nwrapper.java.additional.10=-Ddatabaseparams.file=/last", "/last"),
            ("%PMP_HOME%/conf/db.conf", "/opt/PMP/conf/db.conf"),
            ("%WHERE%/db.conf\nset.WHERE = /secure", "/secure/db.conf"),
            ("%WHERE%/db.conf\r\nset.default.WHERE=/else\r\n", "/else/db.conf"),
            ("%UNKNOWN%/db.conf", "%UNKNOWN%/db.conf"),
            ("/100%/db.conf", "/100%/db.conf"),
        ] {
            assert_eq!(moved(&format!("{option}{value}\n")).as_deref(), Some(path), "{value}");
        }
    }
}
