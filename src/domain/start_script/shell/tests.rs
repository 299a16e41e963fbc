use super::*;

fn at(text: &str, word: &str) -> (Quote, bool) {
    let shell = Shell::read(text).expect("readable");
    let place = shell.place(text.find(word).expect("in it"));
    (place.quote, place.code)
}

#[test]
fn quotes_comments_and_documents_are_told_apart() {
    for (text, wanted) in [
        ("run X", (Quote::None, true)),
        ("a=\"$(cd \"$(dirname \"$0\")\" && pwd)\" # it's\nrun X", (Quote::None, true)),
        ("a=\"b X\"", (Quote::Double, true)),
        ("a='b X'", (Quote::Single, true)),
        ("a=\"$(sed \"s/'//\" X)\"", (Quote::None, true)),
        ("a=`basename \"$0\"` run X", (Quote::None, true)),
        ("# it's X", (Quote::None, false)),
        ("a#b X", (Quote::None, true)),
        ("cat <<EOF\nit's X\nEOF\n", (Quote::None, false)),
        ("cat <<-'E F'\n\tit\nEF\nrun X", (Quote::None, false)),
        ("cat <<-'EOF'\n\tit's\n\tEOF\nrun X", (Quote::None, true)),
        ("a=${b:-it} X", (Quote::None, true)),
        ("a=$((1<<2)) X", (Quote::None, true)),
        ("echo \\\" X", (Quote::None, true)),
    ] {
        assert_eq!(at(text, "X"), wanted, "{text}");
    }
    for odd in ["a=\"b", "a='b", "a=$(b"] {
        assert!(Shell::read(odd).is_err(), "{odd}");
    }
}

#[test]
fn a_statement_ends_where_the_next_one_begins() {
    for (text, wanted) in [
        ("cd /a && X b 2>&1 &\nexit", "X b 2>&1 &"),
        ("if true; then X b; fi", "X b;"),
        ("f() { X b; }", "X b;"),
        ("case a in a) X b ;; esac", "X b ;"),
        ("y=$(p q) X \"$(r s)\" b\n", "y=$(p q) X \"$(r s)\" b\n"),
        ("X \\\n  b\nc", "X \\\n  b\n"),
    ] {
        let shell = Shell::read(text).expect("readable");
        let place = shell.place(text.find('X').expect("in it"));
        assert_eq!(shell.statement(place.statement), wanted, "{text}");
    }
}

#[test]
fn a_word_ends_with_its_quotes() {
    for (text, wanted) in [
        ("--x=\"a b\"/c d", "--x=\"a b\"/c"),
        ("--x=$(a \"b\" c)/d e", "--x=$(a \"b\" c)/d"),
        ("a=\"--x=b c\"", "--x=b"),
        ("a=\"--x=b\"", "--x=b"),
        ("a='--x=b' c", "--x=b"),
        ("a \"--x=$(b c)/d e\"", "--x=$(b c)/d"),
        ("--x=b;c", "--x=b"),
    ] {
        let shell = Shell::read(text).expect("readable");
        let at = text.find("--x").expect("in it");
        assert_eq!(&text[at..shell.word_end(at)], wanted, "{text}");
    }
}
