//! Rules that hold on every page, and the golden files.

use std::collections::BTreeSet;
use std::path::Path;
use std::{env, fs};

use super::samples;
use super::{Brand, Form, FormError, Theme, assets, codes_as_text};

const HOSTILE: &str = "\"'><script>alert(1)</script><b onclick=x>&amp;";

fn plain() -> Vec<samples::Sample> {
    samples::all(str::to_owned)
}

/// Every start tag as name and attributes. The pages quote every attribute value with `"`.
fn tags(html: &str) -> Vec<(&str, Vec<(&str, &str)>)> {
    html.split('<')
        .skip(1)
        .filter(|rest| rest.starts_with(|first: char| first.is_ascii_alphabetic()))
        .map(|rest| {
            let (tag, _text) = rest.split_at(end_of_tag(rest));
            let (name, mut left) = tag.split_once([' ', '\n']).unwrap_or((tag, ""));
            let mut attributes = Vec::new();
            while let Some((key, after)) = left.split_once("=\"") {
                let (value, next) = after.split_once('"').unwrap();
                let bare: Vec<_> = key.split_whitespace().collect();
                attributes.extend(bare.iter().map(|word| (*word, "")));
                if let Some(last) = attributes.last_mut() {
                    last.1 = value;
                }
                left = next;
            }
            attributes.extend(
                left.split_whitespace()
                    .map(|word| (word.trim_end_matches('/'), "")),
            );
            (name, attributes)
        })
        .collect()
}

fn end_of_tag(rest: &str) -> usize {
    let mut quoted = false;
    for (at, letter) in rest.char_indices() {
        match letter {
            '"' => quoted = !quoted,
            '>' if !quoted => return at,
            _ => {}
        }
    }
    panic!("tag without end: {rest}");
}

fn attribute<'a>(attributes: &[(&str, &'a str)], wanted: &str) -> Option<&'a str> {
    attributes
        .iter()
        .find(|(key, _)| *key == wanted)
        .map(|(_, value)| *value)
}

#[test]
fn pages_are_as_in_the_golden_files() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/pages");
    let bless = env::var_os("PORTCULLIS_BLESS").is_some();
    let style = assets::fixed().style.path().to_owned();
    let icon = assets::fixed().icon.path().to_owned();
    let mut names = BTreeSet::new();
    for (name, html) in plain() {
        // The hash changes with every edit of the style sheet; the pages do not.
        let html = html.replace(&style, "STYLE").replace(&icon, "ICON");
        let file = folder.join(format!("{name}.html"));
        if bless {
            fs::write(&file, &html).unwrap();
        }
        let golden = fs::read_to_string(&file).unwrap_or_default();
        assert_eq!(
            golden, html,
            "{name}: PORTCULLIS_BLESS=1 cargo test accepts the new page"
        );
        assert!(
            names.insert(format!("{name}.html")),
            "two samples are called {name}"
        );
    }
    let kept: BTreeSet<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(kept, names, "a golden file without a page, or the reverse");
}

#[test]
fn hostile_text_stays_text_on_every_page() {
    for (name, html) in samples::all(|_text| HOSTILE.to_owned()) {
        assert!(!html.contains("<script"), "{name}");
        assert!(!html.contains("<b onclick"), "{name}");
        assert!(
            html.contains("&#60;script&#62;"),
            "{name} shows no sample text"
        );
        for (tag, attributes) in tags(&html) {
            let handler = attributes.iter().any(|(key, _)| key.starts_with("on"));
            assert!(!handler, "{name}: <{tag}>");
        }
    }
}

#[test]
fn no_page_needs_what_the_content_security_policy_forbids() {
    for (name, html) in plain() {
        for (tag, attributes) in tags(&html) {
            let allowed = !matches!(
                tag,
                "script" | "style" | "iframe" | "base" | "object" | "img"
            );
            assert!(allowed, "{name}: <{tag}>");
            for (key, value) in attributes {
                assert!(key != "style" && !key.starts_with("on"), "{name}: {key}");
                assert!(!value.contains("javascript:"), "{name}: {value}");
            }
        }
    }
}

#[test]
fn every_page_has_one_heading_a_title_a_language_and_a_skip_link() {
    for (name, html) in plain() {
        assert_eq!(html.matches("<h1").count(), 1, "{name}");
        assert!(
            html.starts_with("<!doctype html>\n<html lang=\"en\""),
            "{name}"
        );
        assert!(html.contains("<a class=\"skip\" href=\"#main\">"), "{name}");
        assert!(html.contains("<main id=\"main\""), "{name}");
        let title = html
            .split("<title>")
            .nth(1)
            .unwrap()
            .split("</title>")
            .next()
            .unwrap();
        assert!(
            title.ends_with(" · Example Ltd") && title.len() > 18,
            "{name}: {title}"
        );
    }
}

#[test]
fn every_input_has_a_label_and_every_reference_a_goal() {
    for (name, html) in plain() {
        let tags = tags(&html);
        let ids: Vec<_> = tags
            .iter()
            .filter_map(|(_, a)| attribute(a, "id"))
            .collect();
        let unique: BTreeSet<_> = ids.iter().collect();
        assert_eq!(ids.len(), unique.len(), "{name}: an id stands twice");
        let labelled: BTreeSet<_> = tags
            .iter()
            .filter_map(|(_, a)| attribute(a, "for"))
            .collect();
        for (tag, attributes) in &tags {
            if *tag == "input" {
                let kind = attribute(attributes, "type").unwrap_or("text");
                let inside_label = matches!(kind, "hidden" | "checkbox" | "radio");
                let by_id = attribute(attributes, "id").is_some_and(|id| labelled.contains(id));
                assert!(inside_label || by_id, "{name}: {attributes:?}");
            }
            for (key, value) in attributes {
                let goals: Vec<_> = match *key {
                    "aria-describedby" | "for" => value.split(' ').collect(),
                    "href" => value.strip_prefix('#').into_iter().collect(),
                    _ => Vec::new(),
                };
                for goal in goals {
                    assert!(ids.contains(&goal), "{name}: {key} points at {goal}");
                }
            }
        }
    }
}

#[test]
fn at_most_one_element_takes_the_focus_and_a_complaint_comes_first() {
    for (name, html) in plain() {
        let focused: Vec<_> = tags(&html)
            .into_iter()
            .filter(|(_, attributes)| attribute(attributes, "autofocus").is_some())
            .collect();
        assert!(focused.len() <= 1, "{name}");
        if html.contains("id=\"errors\"") {
            assert_eq!(attribute(&focused[0].1, "id"), Some("errors"), "{name}");
        }
    }
}

#[test]
fn every_form_that_changes_something_carries_a_token_and_stays_on_our_paths() {
    for (name, html) in plain() {
        for form in html.split("<form").skip(1) {
            let form = form.split("</form>").next().unwrap();
            if form.contains("method=\"post\"") {
                assert!(
                    form.contains("name=\"csrf\" value=\"csrf-token\""),
                    "{name}"
                );
            } else {
                assert!(form.contains("method=\"get\""), "{name}");
            }
            assert!(form.contains("action=\"/"), "{name}");
        }
    }
}

#[test]
fn passwords_and_codes_are_never_filled_in() {
    for (name, html) in plain() {
        for (tag, attributes) in tags(&html) {
            let secret = attribute(&attributes, "type") == Some("password")
                || matches!(attribute(&attributes, "id"), Some("code" | "recovery_code"));
            if tag == "input" && secret {
                assert_eq!(attribute(&attributes, "value"), None, "{name}");
                assert!(attribute(&attributes, "autocomplete").is_some(), "{name}");
            }
        }
    }
}

#[test]
fn page_sentences_keep_to_the_wording_rules() {
    for (name, html) in plain() {
        let lower = html.to_lowercase().replace("aria-invalid", "");
        for word in [
            "oops", "sorry", "please", "invalid", "illegal", "simply", "log in", "cedar", "oidc",
        ] {
            assert!(!lower.contains(word), "{name} says {word}");
        }
    }
}

#[test]
fn a_mishaps_page_and_problem_tell_the_same() {
    for (name, mishap) in samples::mishaps("Grafana") {
        let id = crate::base::RequestId::new(crate::base::Timestamp::EPOCH, 1);
        let problem = mishap.problem(id);
        assert!(name.starts_with(&problem.status.to_string()), "{name}");
        let told = mishap.told();
        assert_eq!((problem.title, problem.detail), (told.title, told.why));
        assert!(!problem.fix.unwrap().is_empty());
    }
}

#[test]
fn recovery_codes_as_text_are_numbered_lines() {
    let text = codes_as_text(&samples::codes_page(), "login.example.com");
    assert!(text.starts_with("Recovery codes for ana@example.com at login.example.com\r\n"));
    assert!(text.contains("\r\n 1. 4qk7-m2xd-9trb\r\n"));
    assert!(text.contains("\r\n10. r3pn-9c6b-h0sk\r\n"));
    assert!(text.lines().all(|line| line.len() <= 100));
}

#[test]
fn themes_and_brands_read_back() {
    for theme in Theme::ALL {
        assert_eq!(Theme::from_code(theme.code()), Some(theme));
    }
    assert_eq!(Theme::from_code("blue"), None);
    let brand = Brand::default()
        .with_privacy("mailto:dpo@example.com")
        .unwrap();
    assert_eq!(brand.privacy.as_deref(), Some("mailto:dpo@example.com"));
}

#[test]
fn a_complaint_is_found_by_its_field() {
    let mut form = Form::new("/x", "t");
    assert!(form.is_fresh());
    form.errors = vec![FormError::whole("all"), FormError::at("code", "wrong")];
    assert_eq!(form.error_at("code"), Some("wrong"));
    assert_eq!(form.error_at("name"), None);
}
