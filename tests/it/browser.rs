//! A headless Chromium, driven by the WebDriver protocol: what Debian's `chromium` and `chromium-driver` understand without more.

use std::io::{BufRead as _, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use flott::rpc::http::Client;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::processes::{PATIENCE, wait_for};

/// What WebDriver calls a reference to an element.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";
/// For machines without a display, a graphics card and a network.
const OPTIONS: [&str; 11] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1366,768",
    "--force-device-scale-factor=1",
];

/// One window.
pub struct Browser {
    driver: Child,
    client: Client,
    session: String,
    runtime: tokio::runtime::Runtime,
    _profile: TempDir,
}

/// The process, what it says, and its port, unless it ended at once.
fn start_driver() -> Option<(Child, Lines<BufReader<ChildStdout>>, String)> {
    let mut driver = Command::new("chromedriver")
        .arg("--port=0")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("cannot start chromedriver: {error}; run scripts/install-browser.sh"));
    let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
    let port =
        lines.find_map(|line| line.unwrap().split_once("successfully on port ").map(|(_, port)| port.to_owned()));
    if port.is_none() {
        driver.wait().unwrap();
    }
    port.map(|port| (driver, lines, port))
}

impl Browser {
    /// Opens an empty window.
    pub fn start() -> Self {
        // The port that it finds may be another's by the time it takes it; it ends then.
        let (driver, _said, port) = (0..10).find_map(|_| start_driver()).expect("chromedriver says where it listens");
        let profile = TempDir::with_prefix("flott-browser-").unwrap();
        let mut options: Vec<String> = OPTIONS.iter().map(|option| (*option).to_owned()).collect();
        options.push(format!("--user-data-dir={}", profile.path().display()));
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "goog:chromeOptions": { "args": options },
            "goog:loggingPrefs": { "browser": "ALL" },
        }}});
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let client = Client::new(&format!("127.0.0.1:{}", port.trim_end_matches('.'))).with_deadline(PATIENCE);
        let answer: Value = runtime.block_on(client.post("/session", &wanted)).unwrap();
        let session = answer["value"]["sessionId"].as_str().unwrap().to_owned();
        Self { driver, client, session, runtime, _profile: profile }
    }

    fn post(&self, path: &str, body: &Value) -> Result<Value, String> {
        let path = format!("/session/{}{path}", self.session);
        let answer: Result<Value, _> = self.runtime.block_on(self.client.post(&path, body));
        answer.map(|mut answer| answer["value"].take()).map_err(|error| error.to_string())
    }

    /// Opens an address. One that differs behind `#` alone is a step within the page.
    pub fn open(&self, url: &str) {
        self.post("/url", &json!({ "url": url })).unwrap();
    }

    /// Runs a function's body in the page.
    pub fn script(&self, body: &str) -> Value {
        self.post("/execute/sync", &json!({ "script": body, "args": [] })).unwrap()
    }

    /// The first element that an XPath leads to.
    fn find(&self, path: &str) -> Option<String> {
        let found = self.post("/element", &json!({ "using": "xpath", "value": path })).ok()?;
        found[ELEMENT].as_str().map(str::to_owned)
    }

    /// Does something to an element as soon as it is there and takes it: a page that is drawn anew replaces its elements.
    fn with(&self, what: &str, path: &str, verb: &str, body: &Value) {
        wait_for(what, PATIENCE, || {
            let element = self.find(path)?;
            self.post(&format!("/element/{element}/{verb}"), body).ok()
        });
    }

    /// Clicks as soon as there is something to click.
    pub fn click(&self, path: &str) {
        self.with(&format!("{path} to be clicked"), path, "click", &json!({}));
    }

    /// Types into a field; into one for files, the file's path.
    pub fn type_into(&self, path: &str, text: &str) {
        self.with(&format!("{path} to be typed into"), path, "value", &json!({ "text": text }));
    }

    /// Presses a key, whatever has the focus; keys without a character have WebDriver's.
    pub fn press(&self, key: char) {
        let actions = ["keyDown", "keyUp"].map(|kind| json!({ "type": kind, "value": key.to_string() }));
        self.post("/actions", &json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": actions }] }))
            .unwrap();
    }

    /// Waits until the page shows a text.
    pub fn shows(&self, text: &str) {
        let body = "return document.body.innerText";
        wait_for(&format!("the page to show {text:?}"), PATIENCE, || {
            let shown = self.script(body);
            // Numbers and their units are parted by narrow spaces.
            shown.as_str().is_some_and(|shown| shown.replace(['\u{202f}', '\u{a0}'], " ").contains(text)).then_some(())
        });
    }

    /// What the page has complained of since it was last asked.
    pub fn complaints(&self) -> Vec<String> {
        let entries = self.post("/se/log", &json!({ "type": "browser" })).unwrap();
        let entries = entries.as_array().unwrap().iter().filter(|entry| entry["level"] != "INFO");
        entries.map(|entry| entry["message"].as_str().unwrap().to_owned()).collect()
    }

    /// Dark, or light.
    pub fn prefer(&self, scheme: &str) {
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        let command = json!({ "cmd": "Emulation.setEmulatedMedia", "params": { "features": features } });
        self.post("/goog/cdp/execute", &command).unwrap();
    }

    /// Keeps a picture of the page where `FLOTT_TEST_SCREENSHOTS` says, for people to look at.
    pub fn picture(&self, name: &str) {
        let Some(dir) = std::env::var_os("FLOTT_TEST_SCREENSHOTS") else { return };
        let path = format!("/session/{}/screenshot", self.session);
        let answer: Value = self.runtime.block_on(self.client.get(&path)).unwrap();
        let png = from_base64(answer["value"].as_str().unwrap());
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(Path::new(&dir).join(format!("{name}.png")), png).unwrap();
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let path = format!("/session/{}", self.session);
        let _ = self.runtime.block_on(self.client.delete(&path)); // Closes the window; the driver would leave it.
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

fn from_base64(text: &str) -> Vec<u8> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(text).unwrap()
}
