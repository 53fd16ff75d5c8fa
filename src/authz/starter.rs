//! The small policy folder that `init` and `demo` write.

/// File name and text of each policy file.
pub(crate) const POLICIES: [(&str, &str); 2] = [
    (
        "10-restricted.cedar",
        include_str!("../../policies/starter/10-restricted.cedar"),
    ),
    (
        "20-step-up.cedar",
        include_str!("../../policies/starter/20-step-up.cedar"),
    ),
];

/// The policy tests of `demo`, for its routes `notes` and `payroll` on `localhost`.
pub(crate) const DEMO_TESTS: &str = include_str!("../../policies/starter/demo.toml");

#[cfg(test)]
mod tests {
    use super::{DEMO_TESTS, POLICIES};
    use crate::authz::cases;
    use crate::authz::fixture::{compile, route};
    use crate::base::RouteName;
    use crate::config::{Problems, Source, Subject};

    #[test]
    fn the_demo_policies_pass_the_demo_tests() {
        let files = POLICIES.map(|(name, text)| Source::new(name, text));
        let mut notes = route("notes", &[]);
        notes.allow = vec![Subject::Everyone];
        let mut payroll = route("payroll", &["restricted"]);
        payroll.allow = vec![Subject::Group("payroll".to_owned())];
        let policies = compile(&files, &[notes, payroll]).unwrap();
        let locate = |_host: &str, path: &str| path.split('/').nth(1).map(RouteName::new);
        let mut problems = Problems::new();
        let tests = [Source::new("demo.toml", DEMO_TESTS)];
        let cases = cases::read(&tests, "acme", &locate, &mut problems);
        let report = cases::run(&policies, &cases, "");
        assert!(problems.is_empty(), "{problems:?}");
        assert_eq!(
            (report.passed, report.failures.len()),
            (4, 0),
            "{}",
            report.text()
        );
    }
}
