//! The status page in a real Chromium, and what its URLs answer.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use serde_json::Value;

use crate::harness::browser::{Browser, ENTER, TAB};
use crate::harness::cli::ask;
use crate::harness::server::Server;
use crate::harness::{Ends, Relay, Tools, wait};
use crate::health::Caller;

/// What no page may take for markup: it would change the title.
const HOSTILE: &str = "<img/src=x/onerror=document.title=1>";

/// Only HTTP is where the tools look for it: the command line finds the relay by itself.
fn config(tools: &Tools) -> String {
    format!("[control]\nhttp = \"{}\"\n", tools.http())
}

fn open(browser: &Browser, tools: &Tools) {
    browser.open(&format!("http://{}/", tools.http()));
    wait::until("a status on the page", || (browser.text("#link") == "live").then_some(()));
}

/// Waits until an element has all these texts in it.
fn wait_text(browser: &Browser, selector: &str, parts: &[&str]) -> String {
    wait::until(&format!("{parts:?} in {selector}"), || {
        let text = browser.text(selector);
        parts.iter().all(|part| text.contains(part)).then_some(text)
    })
}

/// The cells of each row of a set, by the names of their columns.
fn rows(browser: &Browser, set: usize) -> Vec<Value> {
    let script = format!(
        "const set = document.querySelectorAll('.set')[{set}];
         return [...set.querySelectorAll('tbody tr')].map(row => Object.fromEntries(
           [...row.cells].map(cell => [cell.dataset.label, cell.innerText.trim()])));"
    );
    browser.run(&script).as_array().expect("rows").clone()
}

#[test]
fn the_page_shows_what_happens() {
    let tools = Tools::new();
    let (good, busy) = (Server::start(), Server::start());
    busy.answers("INVITE", Some("486 Busy Here"));
    let list = format!(
        "1 sip:{} 0 0 duid={HOSTILE};note=one\n1 sip:{}\n2 sip:192.0.2.1 4\n2 sip:gone.invalid\n",
        good.address, busy.address
    );
    let relay = Relay::with_list(&list).config(&config(&tools)).start();
    let browser = Browser::start();
    open(&browser, &tools);
    let facts = browser.text("#facts");
    assert!(facts.contains(&format!("udp:{}", relay.address())), "{facts}");
    assert!(facts.contains("dispatcher.list"), "{facts}");
    let second = wait_text(&browser, ".set:nth-of-type(2) summary", &["Set 2", "0 calls/s"]);
    assert!(second.contains("1 disabled") && second.contains("1 unresolved"), "{second}");
    let [disabled, unresolved] = &rows(&browser, 1)[..] else { panic!() };
    assert_eq!(disabled["State"].as_str().unwrap().trim(), "disabled");
    assert_eq!(unresolved["State"].as_str().unwrap().trim(), "unresolved");

    let mut caller = Caller::new(&relay);
    for _ in 0..5 {
        assert_eq!([caller.call(), caller.call()], [200, 486]);
    }
    let is_counted =
        |row: &Value| row["Sent"] == "5" && row["Answered"] == "5" && row["Heard"] != "never";
    let shown = wait::until("five calls to each", || {
        let rows = rows(&browser, 0);
        rows.iter().all(|row| is_counted(row) && row["Share"] == "50 %").then_some(rows)
    });
    for row in &shown {
        assert_ne!(row["Calls/s"], "0", "{row}");
        assert!(row["First"].as_str().unwrap().starts_with("≤ "), "{row}");
        assert!(row["Heard"].as_str().unwrap().ends_with(" ago"), "{row}");
        assert!(
            row["Why, and since when"].as_str().unwrap().starts_with("loaded at the start"),
            "{row}"
        );
    }
    assert!(shown[0]["Destination"].as_str().unwrap().contains(HOSTILE), "{}", shown[0]);

    // A change of state comes without a reload of the page.
    browser.run("window.isSamePage = true");
    let uri = format!("sip:{}", busy.address);
    ask(&relay, &["set-state", "disabled", "1", &uri]).well();
    wait_text(&browser, "#changes", &["active", "disabled", "set 1", &uri, "by a command"]);
    wait_text(&browser, ".set summary", &["1 active", "1 disabled"]);
    // Those that get no calls come first.
    assert!(rows(&browser, 0)[0]["Destination"].as_str().unwrap().contains(&uri));
    assert_eq!(browser.run("return document.title"), "3 not active – Strowger");

    // The plan of a reload, and why one is refused.
    relay.reload(&format!("{list}2 sip:192.0.2.7\n").replace("note=one", "note=two"));
    wait_text(&browser, "#reloads summary", &["1 added, 0 removed, 1 changed", "SIGHUP"]);
    assert!(!browser.text("#reloads").contains("192.0.2.7"));
    browser.run("document.querySelector('#reloads summary').click()");
    let plan = wait_text(&browser, "#reloads", &["+ added set 2 sip:192.0.2.7"]);
    let changed = format!("attributes duid={HOSTILE};note=one -> duid={HOSTILE};note=two");
    assert!(plan.contains(&changed), "{plan}");
    relay.reload("1 rubbish\n");
    wait_text(&browser, "#reloads summary", &["refused"]);
    assert_eq!(browser.run("return document.querySelectorAll('#reloads [open]').length"), 1);

    for datagram in [&b"rubbish"[..], b"more"] {
        std::net::UdpSocket::bind("127.0.0.1:0")
            .unwrap()
            .send_to(datagram, relay.address())
            .unwrap();
    }
    wait_text(&browser, "#counters tr.some", &["dropped.not_sip", "\t2"]);
    ask(&relay, &["drain", "--wait", "0"]);
    wait_text(&browser, "#banners", &["The relay is drained"]);

    assert_eq!(
        browser.run("return [window.isSamePage, document.images.length]").to_string(),
        "[true,0]"
    );
    assert_eq!(browser.console(), [""; 0]);
    // Markup that got in all the same could do nothing.
    browser.run(
        "document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"document.title=1\">')",
    );
    let told = wait::until("what the policy forbids", || {
        Some(browser.console()).filter(|told| !told.is_empty())
    });
    assert!(told.iter().any(|line| line.contains("Content Security Policy")), "{told:?}");
    assert_ne!(browser.run("return document.title"), "1");
}

#[test]
fn the_page_says_when_the_relay_is_gone_and_goes_on_with_the_next() {
    let (tools, ends) = (Tools::new(), Ends::new());
    let start = || Relay::with_list(&ends.list()).config(&config(&tools)).start();
    let relay = start();
    let browser = Browser::start();
    open(&browser, &tools);
    relay.kill();
    let said = wait_text(&browser, "#banners", &["Connection lost, since "]);
    assert!(said.ends_with("s: what is shown is old. Trying again."), "{said}");
    assert_eq!(browser.text("#link"), "connection lost");
    assert_eq!(rows(&browser, 0).len(), 1);
    let relay = start();
    wait_text(&browser, "#changes", &["the relay was restarted"]);
    assert_eq!((browser.text("#banners"), browser.text("#link")), (String::new(), "live".into()));
    assert!(browser.text("#facts").contains(&relay.pid().to_string()));
    relay.stop();
}

#[test]
fn the_page_by_keyboard_on_a_phone_and_in_the_dark() {
    let tools = Tools::new();
    let server = Server::start();
    let far: String = (0..210).map(|n| format!("2 sip:192.0.2.{n}:{}\n", 6000 + n)).collect();
    let name = "a-host-name-that-is-very-long.in-a-zone-with-a-long-name.example.invalid";
    let list = format!("1 sip:{}\n1 sip:{name} 4\n{far}", server.address);
    let relay = Relay::with_list(&list).unwatched().config(&config(&tools)).start();
    let mut caller = Caller::new(&relay);
    assert_eq!(caller.call(), 200);
    let browser = Browser::start();
    browser.screen(1280);
    open(&browser, &tools);

    // 200 of a set, and how many there are besides.
    assert_eq!(rows(&browser, 1).len(), 200);
    assert_eq!(browser.text(".set:nth-of-type(2) .more"), "10 more not shown");

    // Past the first link, from one button to the next.
    let focused = || browser.run("return document.activeElement.textContent.trim()");
    browser.press(TAB);
    assert_eq!(focused(), "Skip to the destinations");
    browser.press(ENTER);
    assert_eq!(browser.run("return document.activeElement.id"), "sets");
    browser.press(TAB);
    assert!(focused().as_str().unwrap().starts_with("Set 1"));
    let mut passed = Vec::new();
    while passed.last().is_none_or(|last| last != "Sent") {
        assert!(passed.len() < 11, "{passed:?}");
        browser.press(TAB);
        passed.push(focused());
    }
    assert_eq!(passed, ["State", "Destination", "Calls/s", "Share", "Sent"]);
    let ring = "return getComputedStyle(document.activeElement).outlineStyle";
    assert_eq!(browser.run(ring), "solid");
    let sent =
        || -> Vec<Value> { rows(&browser, 0).iter().map(|row| row["Sent"].clone()).collect() };
    let sorted = || browser.run("return document.activeElement.parentElement.ariaSort");
    assert_eq!((sent(), sorted()), (vec!["–".into(), "1".into()], "none".into()));
    browser.press(ENTER);
    // What is not known comes last, either way.
    assert_eq!((sent(), sorted()), (vec!["1".into(), "–".into()], "descending".into()));
    browser.press(ENTER);
    assert_eq!((sent(), sorted()), (vec!["1".into(), "–".into()], "ascending".into()));
    browser.press(ENTER);
    assert_eq!((sent(), sorted()), (vec!["–".into(), "1".into()], "none".into()));

    let overflow =
        "return document.documentElement.scrollWidth - document.documentElement.clientWidth";
    for width in [1280, 800, 360] {
        browser.screen(width);
        assert_eq!(browser.run("return innerWidth"), width);
        assert_eq!(browser.run(overflow), 0, "{width}");
        let cut = browser.run(
            "return [...document.querySelectorAll('td, .tile, .columns section')]
               .filter(cell => cell.scrollWidth > cell.clientWidth + 1).map(cell => cell.innerText)",
        );
        assert_eq!(cut, Value::Array(Vec::new()), "{width}");
    }

    let colours = |look| {
        browser.look(look);
        browser.run(
            "const style = getComputedStyle(document.body); return [style.color, style.backgroundColor]",
        )
    };
    assert_eq!(colours("light").to_string(), "[\"rgb(29, 31, 33)\",\"rgb(246, 246, 244)\"]");
    assert_eq!(colours("dark").to_string(), "[\"rgb(228, 229, 227)\",\"rgb(18, 20, 22)\"]");
    assert_eq!(browser.console(), [""; 0]);
    relay.stop();
}

/// Sends a request, and returns what comes until the far end closes.
fn get(tools: &Tools, method: &str, path: &str, fields: &str) -> (String, String) {
    let host = tools.http();
    let answer = tools
        .say_http(format!("{method} {path} HTTP/1.0\r\nHost: {host}\r\n{fields}\r\n").as_bytes());
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer");
    (head.to_owned(), body.to_owned())
}

#[test]
fn what_its_urls_answer_and_whom_they_refuse() {
    let (tools, ends) = (Tools::new(), Ends::new());
    let relay = Relay::with_list(&ends.list()).config(&config(&tools)).start();
    let (head, page) = get(&tools, "GET", "/", "");
    assert!(head.starts_with("HTTP/1.0 200") && page.ends_with("</html>\n"), "{head}");
    for wants in ["content-security-policy: default-src 'none'; ", "cache-control: no-store"] {
        assert!(head.contains(wants), "{head}");
    }
    let (head, status) = get(&tools, "GET", "/status", "");
    assert!(head.contains("content-type: application/json"), "{head}");
    let status: Value = serde_json::from_str(&status).expect("JSON");
    assert_eq!(status["sets"][0]["destinations"][0]["uri"], format!("sip:{}", ends.server()));
    for path in ["/", "/status"] {
        let (head, body) = get(&tools, "HEAD", path, "");
        assert!(head.starts_with("HTTP/1.0 200") && body.is_empty(), "{path}: {head}\n{body}");
    }
    let foreign = "Origin: http://evil.example\r\n";
    let embedded = "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Dest: image\r\n";
    for (method, path, fields, wants) in [
        ("GET", "/", foreign, "403"),
        ("GET", "/status", foreign, "403"),
        ("GET", "/status/events", foreign, "403"),
        ("GET", "/status/events", embedded, "403"),
        ("GET", "/status", "Sec-Fetch-Site: same-site\r\nSec-Fetch-Dest: empty\r\n", "403"),
        ("GET", "/", "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Dest: document\r\n", "200"),
        ("GET", "/status", "Sec-Fetch-Site: same-origin\r\nSec-Fetch-Dest: empty\r\n", "200"),
        ("POST", "/", "Content-Type: application/x-www-form-urlencoded\r\n", "415"),
        ("PUT", "/status", "", "405"),
        ("GET", "/status/", "", "405"),
    ] {
        let (head, body) = get(&tools, method, path, fields);
        let wants = format!("HTTP/1.0 {wants}");
        assert!(head.starts_with(&wants), "{method} {path} {fields}: {head}\n{body}");
    }
    let answer =
        tools.say_http(b"GET / HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    relay.stop();
}

/// Reads events until there are so many.
fn events(stream: &mut TcpStream, count: usize) -> Vec<String> {
    let mut text = Vec::new();
    let mut buffer = vec![0; 65_536];
    let events = |text: &[u8]| {
        let text = String::from_utf8_lossy(text).into_owned();
        text.lines().filter(|line| line.starts_with("data: ")).map(str::to_owned).collect()
    };
    loop {
        let read = stream.read(&mut buffer).expect("events");
        assert!(read > 0, "{}", String::from_utf8_lossy(&text));
        text.extend_from_slice(&buffer[..read]);
        let found: Vec<String> = events(&text);
        if found.len() >= count && text.ends_with(b"\n\n") {
            return found;
        }
    }
}

#[test]
fn all_listeners_get_one_status_and_not_too_many_listen() {
    let (tools, ends) = (Tools::new(), Ends::new());
    let relay = Relay::with_list(&ends.list()).config(&config(&tools)).start();
    let listen = || {
        let mut stream = TcpStream::connect(tools.http()).expect("a control socket");
        let get = format!("GET /status/events HTTP/1.0\r\nHost: {}\r\n\r\n", tools.http());
        stream.write_all(get.as_bytes()).expect("an open connection");
        stream
    };
    let mut streams: Vec<_> = (0..32).map(|_| listen()).collect();
    // What each has heard: of its first events at least one is the same for all.
    let heard: Vec<_> = streams.iter_mut().map(|stream| events(stream, 3)).collect();
    let same = heard[0].iter().filter(|event| heard.iter().all(|of| of.contains(event)));
    assert!(same.count() > 0);
    let (head, why) = get(&tools, "GET", "/status/events", "");
    assert!(head.starts_with("HTTP/1.0 503"), "{head}");
    assert_eq!(why, "32 pages are open: close one\n");
    // Others are served meanwhile.
    assert!(get(&tools, "GET", "/status", "").0.starts_with("HTTP/1.0 200"));
    streams.pop();
    wait::until("a place for another", || {
        let mut stream = listen();
        let mut head = [0; 12];
        stream.read_exact(&mut head).expect("an answer");
        (&head == b"HTTP/1.0 200").then_some(())
    });
    relay.stop();
}
