//! What an image or a pod says about how it is to be started.

use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// The function to call before the module is frozen.
pub(crate) const INIT: &str = "minirt.snapshot.init";
/// The functions of WASI that the initialiser may call although what they return is frozen.
pub(crate) const ALLOW: &str = "minirt.snapshot.allow";

/// A snapshot to start from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Snapshot {
    /// The function that is called before.
    pub(crate) init: String,
    /// The functions of WASI that it may call although what they return is frozen.
    pub(crate) allow: Vec<String>,
}

impl Snapshot {
    /// Returns what these annotations ask for. The first that name an initialiser decide.
    pub(crate) fn asked_for<'a>(places: impl IntoIterator<Item = &'a HashMap<String, String>>) -> Option<Self> {
        places.into_iter().find_map(|annotations| {
            let init = annotations.get(INIT).filter(|init| !init.is_empty())?.clone();
            let allow = annotations.get(ALLOW).map_or("", String::as_str).split(',').map(str::trim);
            let mut allow: Vec<String> = allow.filter(|name| !name.is_empty()).map(str::to_owned).collect();
            allow.sort();
            allow.dedup();
            Some(Self { init, allow })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{ALLOW, INIT, Snapshot};
    use std::collections::HashMap;

    fn annotations(pairs: &[(&str, &str)]) -> HashMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn the_first_place_that_names_an_initialiser_decides_alone() {
        let pod = annotations(&[(INIT, "warm")]);
        let layer = annotations(&[(INIT, "init"), (ALLOW, "random_get, clock_time_get,random_get")]);
        let asked = |places: &[&HashMap<String, String>]| Snapshot::asked_for(places.iter().copied());
        assert_eq!(asked(&[&pod, &layer]), Some(Snapshot { init: "warm".into(), allow: vec![] }));
        let allow = vec!["clock_time_get".into(), "random_get".into()];
        assert_eq!(asked(&[&annotations(&[]), &layer]), Some(Snapshot { init: "init".into(), allow }));
        assert_eq!(asked(&[&annotations(&[(ALLOW, "random_get")])]), None);
        assert_eq!(asked(&[&annotations(&[(INIT, "")])]), None);
    }
}
