//! Every object is valid by the API's own schemas, unknown fields refused.

use super::{Broken, RESTRICTED, ROOT};
use crate::python::python;
use takumi_test::require;

/// Exit code and words of the validation; `strict` refuses unknown fields.
fn validate(manifest: &str, version: &str, strict: bool) -> (bool, String) {
    let mut words = vec!["-m", "kubernetes_validate", "--kubernetes-version", version];
    words.extend(strict.then_some("--strict"));
    words.push(manifest);
    let ended = python(&words);
    (ended.code == 0, ended.text())
}

#[test]
fn the_manifests_are_valid_for_old_and_new_clusters() {
    require!(python3, pip3);
    for (manifest, objects) in [(ROOT, 13), (RESTRICTED, 12)] {
        for version in ["1.25", "1.37"] {
            let (valid, said) = validate(manifest, version, true);
            assert!(valid, "{said}");
            assert_eq!(said.matches(" passed for resource ").count(), objects, "{said}");
        }
    }
}

#[test]
fn an_unknown_field_and_a_wrong_type_are_refused() {
    require!(python3, pip3);
    let wrong = [
        ("readOnlyRootFilesystem: true", "readOnlyRootFilesytem: true", false),
        ("timeoutSeconds: 15", "timeoutInSeconds: 15", false),
        ("replicas: 1", "replicas: \"one\"", true),
        ("drop: [ALL]", "drop: ALL", true),
        ("claimName: data", "claim: data", true),
    ];
    for (from, to, also_when_lax) in wrong {
        let broken = Broken::new(RESTRICTED, from, to);
        let (valid, said) = validate(broken.path(), "1.37", true);
        assert!(!valid, "control: {to}: {said}");
        if !also_when_lax {
            let (valid, said) = validate(broken.path(), "1.37", false);
            assert!(valid, "{to} is seen by --strict alone: {said}");
        }
    }
}
