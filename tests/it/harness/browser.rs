//! A real Chromium without a screen, driven through its `WebDriver`.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{ChildStdout, Command, Stdio};

use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::process::Process;
use super::wait::PATIENCE;

/// A browser with one window. Dropping it closes it.
pub(crate) struct Browser {
    agent: ureq::Agent,
    /// The URL of its session.
    session: String,
    _driver: Process,
    /// Kept open: it may say more.
    _said: BufReader<ChildStdout>,
    profile: TempDir,
    process: Option<Pid>,
}

/// Keys as `WebDriver` writes them.
pub(crate) const TAB: &str = "\u{e004}";
pub(crate) const ENTER: &str = "\u{e007}";

impl Browser {
    /// Starts one.
    pub(crate) fn start() -> Self {
        let profile = TempDir::new().expect("a temporary folder");
        let mut driver = Process::start(
            "chromedriver, of the package chromium-driver",
            Command::new("chromedriver")
                .arg("--port=0")
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::null()),
        );
        let mut said = BufReader::new(driver.child().stdout.take().expect("a pipe"));
        // "ChromeDriver was started successfully on port 45123."
        let port = said.by_ref().lines().map_while(Result::ok).find_map(|line| {
            line.split_once("successfully on port ")?.1.trim_end_matches('.').parse::<u16>().ok()
        });
        let port = port.expect("a driver that listens");
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            // A browser that starts on a busy machine takes longer than all else.
            .timeout_global(Some(4 * PATIENCE))
            .build()
            .new_agent();
        let mut browser = Self {
            agent,
            session: format!("http://127.0.0.1:{port}/session"),
            _driver: driver,
            _said: said,
            profile,
            process: None,
        };
        let data = format!("--user-data-dir={}", browser.profile.path().display());
        // As root it has no sandbox, and some containers have little /dev/shm.
        let flags =
            ["--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", &data];
        let answer = browser.post(
            "",
            &json!({"capabilities": {"alwaysMatch": {
                "goog:loggingPrefs": {"browser": "ALL"},
                "goog:chromeOptions": {"args": flags},
            }}}),
        );
        let process = answer["capabilities"]["goog:processID"].as_i64().expect("its process");
        browser.process = Some(Pid::from_raw(process.try_into().expect("a process id")));
        let id = answer["sessionId"].as_str().expect("a session");
        browser.session = format!("{}/{id}", browser.session);
        browser
    }

    /// Opens this URL and waits until it is loaded.
    pub(crate) fn open(&self, url: &str) {
        self.post("/url", &json!({"url": url}));
    }

    /// Runs a script in the page and returns what it returns.
    pub(crate) fn run(&self, script: &str) -> Value {
        self.post("/execute/sync", &json!({"script": script, "args": []}))
    }

    /// What is to be read in the element that this selector finds first.
    pub(crate) fn text(&self, selector: &str) -> String {
        let script = format!("return document.querySelector({selector:?})?.innerText ?? ''");
        self.run(&script).as_str().expect("a text").trim().to_owned()
    }

    /// Presses and releases this key.
    pub(crate) fn press(&self, key: &str) {
        let actions = json!([{"type": "keyDown", "value": key}, {"type": "keyUp", "value": key}]);
        let keys = json!({"actions": [{"type": "key", "id": "keys", "actions": actions}]});
        self.post("/actions", &keys);
    }

    /// Shows the page on a screen that is so wide, in pixels.
    pub(crate) fn screen(&self, width: u32) {
        let metrics =
            json!({"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 600});
        self.command("Emulation.setDeviceMetricsOverride", &metrics);
    }

    /// Prefers this look: `light` or `dark`.
    pub(crate) fn look(&self, look: &str) {
        let feature = json!({"name": "prefers-color-scheme", "value": look});
        self.command("Emulation.setEmulatedMedia", &json!({"features": [feature]}));
    }

    /// What its console was told since this was asked last: errors, and what a policy forbade.
    pub(crate) fn console(&self) -> Vec<String> {
        let log = self.post("/se/log", &json!({"type": "browser"}));
        let lines = log.as_array().expect("a log").iter();
        // INFO is what the browser says of itself.
        let bad = lines.filter(|line| line["level"] != "INFO");
        bad.map(|line| line["message"].as_str().unwrap_or("?").to_owned()).collect()
    }

    fn command(&self, name: &str, parameters: &Value) {
        self.post("/goog/cdp/execute", &json!({"cmd": name, "params": parameters}));
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        let request = self.agent.post(format!("{}{path}", self.session));
        let request = request.header("Content-Type", "application/json");
        let mut answer = request.send(body.to_string()).expect("the driver");
        let text = answer.body_mut().read_to_string().expect("an answer");
        let mut read: Value = serde_json::from_str(&text).expect("JSON");
        assert!(answer.status().is_success(), "{path} {body}: {text}");
        read["value"].take()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The driver closes the browser before it answers. One that hangs would outlive it.
        let is_closed = self.agent.delete(&self.session).call().is_ok();
        if let Some(process) = self.process.filter(|_| !is_closed) {
            let _ = signal::kill(process, Signal::SIGKILL);
        }
    }
}
