//! A browser opens what `minirt show --html` writes: pictures have as many cells as the library
//! counts pages, a pointer and the keyboard tell what a cell is, the slider shows other runs, and
//! nothing is an error.
//!
//! Without a browser this is skipped; `.ci/install-browser` installs one.

#![forbid(unsafe_code)]

use minirt::{Engine, Instance, Linker, Module, PageMap, Store};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Returns the browser: what `MINIRT_BROWSER` names, or the first that is installed.
fn browser() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("MINIRT_BROWSER") {
        return Some(named.into());
    }
    let folders: Vec<PathBuf> = std::env::split_paths(&std::env::var_os("PATH")?).collect();
    let names = ["chromium", "chromium-browser", "google-chrome"];
    names.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name))).find(|path| path.is_file())
}

/// A browser with a folder of its own.
struct Browser {
    program: PathBuf,
    folder: tempfile::TempDir,
}

impl Browser {
    fn run(&self, options: &[&str], page: &Path) -> (String, String) {
        let profile = format!("--user-data-dir={}", self.folder.path().join("profile").display());
        let common =
            ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--window-size=1000,1600"];
        let mut command = Command::new(&self.program);
        command.args(common).arg(profile).args(options).arg(format!("file://{}", page.display()));
        let output = command.output().unwrap();
        (String::from_utf8_lossy(&output.stdout).into_owned(), String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(path)
}

/// Writes the page of a guest, with a script behind it, and returns what the script writes into the
/// page.
fn told(browser: &Browser, guest: &str, options: &[&str], script: &str) -> String {
    let page = browser.folder.path().join("page.html");
    let mut show = Command::new(env!("CARGO_BIN_EXE_minirt"));
    let shown = show.args(["show", "--no-times", "--html"]).arg(&page).args(options).arg(here(guest)).output().unwrap();
    assert!(shown.status.success(), "{}", String::from_utf8_lossy(&shown.stderr));
    let html = fs::read_to_string(&page).unwrap();
    assert!(!html.contains("http://") && !html.contains("https://"), "the page leads elsewhere");
    let caught = "window.addEventListener('error', (it) => { document.title = 'error: ' + it.message; });";
    let html = html.replace("<head>", &format!("<head><script>{caught}</script>"));
    let html = html.replace("</body>", &format!("<pre id=\"told\"></pre><script>{{{script}}}</script></body>"));
    fs::write(&page, html).unwrap();
    let (document, log) = browser.run(&["--dump-dom"], &page);
    let told = document.split_once("<pre id=\"told\">").and_then(|(_, rest)| rest.split_once("</pre>"));
    let (told, _) = told.unwrap_or_else(|| panic!("{guest}: no document: {log}"));
    assert!(!log.contains("CONSOLE"), "{guest}: {log}");
    assert!(!document.contains("<title>error"), "{guest}: {document}");
    told.to_owned()
}

/// Says for each picture how many cells it has, and how many of them can be accessed.
const COUNT: &str =
    "document.getElementById('told').textContent = [...document.querySelectorAll('svg.stage')].map((svg) => {
    const cells = [...svg.querySelectorAll('g[data-cells] rect')];
    return cells.length + '/' + cells.filter((it) => !it.classList.contains('inaccessible')).length;
}).join(' ');";

fn accessible(map: &PageMap) -> u64 {
    map.regions.iter().map(|region| region.accessible()).sum()
}

/// Returns how many pages the library counts in a fresh instance, and after these calls.
fn counted(guest: &str, calls: &[&str]) -> Vec<u64> {
    let engine = Engine::default();
    let module = Module::from_file(&engine, here(guest)).unwrap();
    let mut store = Store::new(&engine, minirt::wasi::WasiCtxBuilder::new().build().unwrap());
    let mut linker = Linker::new(&engine);
    minirt::wasi::add_to_linker(&mut linker, |wasi| wasi).unwrap();
    let instance: Instance = linker.instantiate(&mut store, &module).unwrap();
    let mut pages = vec![accessible(&instance.page_map(&store).unwrap())];
    for name in calls {
        instance.get_func(&store, name).unwrap().call(&mut store, &[], &mut []).unwrap();
        pages.push(accessible(&instance.page_map(&store).unwrap()));
    }
    pages
}

#[test]
fn a_browser_shows_the_pages_that_the_library_counts() {
    let Some(program) = browser() else {
        eprintln!("SKIPPED: there is no browser; .ci/install-browser installs one");
        return;
    };
    let browser = Browser { program, folder: tempfile::tempdir().unwrap() };
    for (guest, options, calls) in [
        ("guests/writers.wat", &["--invoke", "run"][..], &["_initialize", "run"][..]),
        ("guests/two_memories.wat", &[], &["_start"]),
        ("guests/hello.wat", &[], &["_start"]),
        ("guests/heap.wat", &["--invoke", "run"], &["run"]),
    ] {
        let pages = counted(guest, calls);
        let most = pages.iter().max().unwrap();
        // The image has as many pages as a fresh instance; then come two runs.
        let expected: Vec<String> =
            std::iter::once(&pages[0]).chain(&pages).chain(&pages).map(|at| format!("{most}/{at}")).collect();
        assert_eq!(told(&browser, guest, options, COUNT), expected.join(" "), "{guest}");
    }

    // The third picture is of the end of the first run; its second group is the memory.
    let point = "const memory = document.querySelectorAll('svg.stage')[3].querySelectorAll('g[data-cells]')[1];
        const svg = memory.closest('svg');
        const about = document.getElementById('about');
        const told = [];
        for (const page of [0, 3, 5, 10, 32]) {
          memory.children[page].dispatchEvent(new PointerEvent('pointerover', { bubbles: true }));
          told.push(about.textContent);
        }
        svg.focus();
        told.push(document.activeElement === svg);
        for (const key of ['Home', 'ArrowRight', 'End']) {
          svg.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true }));
          told.push(about.textContent);
        }
        const slider = document.getElementById('run');
        told.push(slider.closest('.slider').hidden);
        const later = document.querySelectorAll('svg.stage')[4].querySelectorAll('g[data-cells]')[1];
        told.push(later.children[0].getAttribute('class'));
        slider.value = 8;
        slider.dispatchEvent(new Event('input'));
        told.push(document.getElementById('number').textContent);
        told.push(later.children[0].getAttribute('class'));
        document.getElementById('told').textContent = told.join('\\n');";
    let expected = "memory 0, page 0, at 0x00000000: private, equal to the image; first written by same
memory 0, page 3, at 0x00003000: zeros
memory 0, page 5, at 0x00005000: private, changed; first written by one
memory 0, page 10, at 0x0000a000: private, changed; first written by four
memory 0, page 32, at 0x00020000: grown, written; first written by grown
true
state, page 0, at 0x00000000: private, changed
memory 0, page 0, at 0x00000000: private, equal to the image; first written by same
memory 0, page 47, at 0x0002f000: grown, zeros
false
image
8
hot-equal";
    assert_eq!(told(&browser, "guests/writers.wat", &["--invoke", "run"], point), expected);

    // A cell of many pages names all that wrote them.
    let point = "const memory = document.querySelectorAll('svg.stage')[2].querySelectorAll('g[data-cells]')[1];
        memory.children[0].dispatchEvent(new PointerEvent('pointerover', { bubbles: true }));
        document.getElementById('told').textContent = document.getElementById('about').textContent;";
    let expected = "memory 0, pages 0 to 511, at 0x00000000: private, changed; \
                    first written by twin (function 0 of crowded), twin (function 1 of crowded)";
    assert_eq!(told(&browser, "guests/crowded.wat", &[], point), expected);

    // Names cannot break out.
    let title = "document.getElementById('told').textContent = document.querySelectorAll('script').length;";
    assert_eq!(told(&browser, "guests/hostile_page.wat", &["--invoke", "run"], title), "3");

    let picture = |name: &str, option: &[&str]| {
        let path = browser.folder.path().join(name);
        let shot = format!("--screenshot={}", path.display());
        browser.run(&[option, &[&shot]].concat(), &browser.folder.path().join("page.html"));
        fs::read(path).unwrap()
    };
    let (light, dark) = (picture("light.png", &[]), picture("dark.png", &["--blink-settings=preferredColorScheme=0"]));
    assert!(light.starts_with(b"\x89PNG") && dark.starts_with(b"\x89PNG") && light != dark);
}
