//! The files of `templates/`: text with `{{name}}` in it. A missing or a spare name is an error.

use anyhow::{Result, bail};

/// Fills a template.
pub fn fill(template: &str, values: &[(&str, &str)]) -> Result<String> {
    let mut out = String::with_capacity(template.len());
    let mut used = vec![false; values.len()];
    let mut rest = template;
    while let Some(at) = rest.find("{{") {
        out.push_str(&rest[..at]);
        rest = &rest[at + 2..];
        let Some(end) = rest.find("}}") else { bail!("a placeholder of a template is not closed") };
        let name = rest[..end].trim();
        let Some(index) = values.iter().position(|(key, _)| *key == name) else {
            bail!("a template wants '{name}', which is not given")
        };
        used[index] = true;
        out.push_str(values[index].1);
        rest = &rest[end + 2..];
    }
    out.push_str(rest);
    if let Some(spare) = used.iter().position(|used| !used) {
        bail!("a template does not use '{}'", values[spare].0);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_or_spare_name_is_an_error() {
        assert_eq!(fill("a {{x}} b", &[("x", "1")]).expect("complete"), "a 1 b");
        assert!(fill("a {{x}}", &[]).is_err());
        assert!(fill("a", &[("x", "1")]).is_err());
    }
}
