//! Garbage, partial requests, huge requests, many clients and clients that do not read, at every
//! control socket: each gets a clear error, the next one is served, and calls continue.

use std::fs::{self, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _, symlink};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use crate::harness::database::Server as _;
use crate::harness::process::Process;
use crate::harness::sqlite::Sqlite;
use crate::harness::{Ends, Relay, Tools, wait};

/// One request for our version, with further members.
fn ask(more: &str) -> String {
    format!("{{\"jsonrpc\":\"2.0\",\"method\":\"core.version\",\"id\":7{more}}}")
}

const VERSION: &str = "{\"jsonrpc\":\"2.0\",\"result\":\"strowger ";
const NO_JSON: &str = "{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32700,\"message\":\"Parse error\"";

#[test]
fn rubbish_and_halves_at_the_fifo() {
    let (tools, mut ends) = (Tools::new(), Ends::new());
    let config = tools.config() + &format!("fifo_reply_dir = {:?}\n", tools.path(""));
    let relay = Relay::with_list(&ends.list()).unwatched().config(&config).start();
    let read = |name: &str| {
        let pipe = tools.path(name);
        thread::spawn(move || fs::read_to_string(pipe).expect("an answer"))
    };
    let long = "{".repeat(20_000);
    let half = "{\"jsonrpc\": \"2.0\", \"method\": \"core.ver";
    let rows: [(&str, &str); 6] = [
        ("rubbish\n", "no request starts like this"),
        ("\0\u{1}}}]]'\"\n", "no request starts like this"),
        (half, "it is incomplete"),
        (&long, "it is too long"),
        ("{\"jsonrpc\": \"2.0\", \"method\": \"no.such\"}\n", "Method Not Found"),
        ("{\"method\": \"core.version\", \"id\": 1}\n", "Invalid Request"),
    ];
    for (number, (bytes, says)) in rows.into_iter().enumerate() {
        let before = relay.log().len();
        // One line a second is written: what was left out is sent again.
        wait::until(says, || {
            tools.write_fifo(bytes.as_bytes());
            thread::sleep(std::time::Duration::from_millis(250));
            relay.log()[before..].iter().any(|line| line.contains(says)).then_some(())
        });
        let name = format!("reply{number}");
        tools.reply_pipe(&name);
        let answer = read(&name);
        tools.write_fifo(bytes.as_bytes());
        tools.write_fifo(ask(&format!(",\"reply_name\":\"{name}\"")).as_bytes());
        let answer = answer.join().expect("a reader");
        assert!(answer.contains("\"result\":\t\"strowger "), "{bytes:.50}: {answer}");
        ends.call(relay.address(), "");
    }

    // Who waits is told, whatever else the text holds.
    for (number, (request, says)) in [
        ("{\"params\": [\"a\"b\"], \"reply_name\": \"NAME\", \"id\": 7}\n", "-32700"),
        ("{\"jsonrpc\": \"2.0\", \"method\": 5, \"reply_name\": \"NAME\", \"id\": 7}\n", "-32600"),
        (&ask(",\"reply_name\":\"NAME\",\"store_path\":\"/tmp/no\""), "store_path Refused"),
        (&ask(",\"params\":[\"it's {\"],\"reply_name\":\"NAME\""), "strowger "),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("told{number}");
        tools.reply_pipe(&name);
        let answer = read(&name);
        tools.write_fifo(request.replace("NAME", &name).as_bytes());
        let answer = answer.join().expect("a reader");
        assert!(answer.contains(says) && answer.ends_with("\"id\":\t7\n}"), "{answer}");
    }
    ends.call(relay.address(), "");
    relay.stop();
}

/// A reply pipe is a pipe in its folder and nothing else, and who does not read it holds nobody.
#[test]
fn reply_pipes_that_are_none_or_are_not_read() {
    let (tools, mut ends) = (Tools::new(), Ends::new());
    let list: String = (0..3_000).map(|n| format!("2 sip:127.0.0.1:{}\n", 10_000 + n)).collect();
    let config = tools.config() + &format!("fifo_reply_dir = {:?}\n", tools.path(""));
    let mut relay = Relay::with_list(&(ends.list() + &list)).unwatched().config(&config).start();
    fs::write(tools.path("file"), "precious").unwrap();
    tools.reply_pipe("linked");
    symlink(tools.path("linked"), tools.path("link")).unwrap();
    fs::hard_link(tools.path("linked"), tools.path("second")).unwrap();
    tools.reply_pipe("unread");
    let mut said = 0;
    for (name, says) in [
        ("../rpc", "write a name without"),
        ("a/b", "write a name without"),
        ("file", "not a FIFO, or one with a second name"),
        ("link", "not a FIFO, or one with a second name"),
        ("second", "not a FIFO, or one with a second name"),
        ("missing", "No such file"),
        ("unread", "nobody reads it"),
    ] {
        // One line a second is written: what was left out is asked for again.
        wait::until(says, || {
            said += 1;
            tools.write_fifo(ask(&format!(",\"reply_name\":\"{name}\"")).as_bytes());
            thread::sleep(std::time::Duration::from_millis(250));
            relay.log().iter().any(|line| line.contains(says)).then_some(())
        });
    }
    assert_eq!(fs::read_to_string(tools.path("file")).unwrap(), "precious");

    // Its reader is there and sleeps: the answer is longer than what a pipe holds.
    tools.reply_pipe("asleep");
    let _asleep = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(tools.path("asleep"))
        .expect("our pipe");
    let before = relay.log().len();
    let list = ask(",\"reply_name\":\"asleep\"").replace("core.version", "dispatcher.list");
    tools.write_fifo(list.as_bytes());
    tools.reply_pipe("awake");
    let awake = tools.path("awake");
    let awake = thread::spawn(move || fs::read_to_string(awake).expect("an answer"));
    tools.write_fifo(ask(",\"reply_name\":\"awake\"").as_bytes());
    assert!(awake.join().expect("a reader").contains("strowger "));
    ends.call(relay.address(), "");
    relay.wait_log(before, &["asleep: nobody reads it"]);
    assert!(said < 1_000);
    relay.stop();
}

#[test]
fn rubbish_halves_and_giants_at_the_sockets() {
    let (tools, mut ends) = (Tools::new(), Ends::new());
    let relay = Relay::with_list(&ends.list()).unwatched().config(&tools.config()).start();
    let stream =
        |name: &str, bytes: &[u8]| String::from_utf8_lossy(&tools.stream(name, bytes)).into_owned();
    let giant = format!("{{\"x\":\"{}\"}}", "x".repeat(300 << 10));

    for (bytes, says) in [
        (ask("").as_str(), VERSION),
        ("rubbish", NO_JSON),
        ("{\"jsonrpc\":", NO_JSON),
        (&giant, NO_JSON),
        ("{}", "{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32600,"),
        ("", ""),
    ] {
        let answer = stream("cli.sock", bytes.as_bytes());
        assert!(answer.starts_with(says), "{bytes:.50}: {answer}");
        ends.call(relay.address(), "");
    }

    let version = b"\xa1\x03\x0f\x01\x02\x03\x04\x91\x0dcore.version\0";
    let reply = b"\xa1\x13".as_slice();
    let fault = b"\xa1\x33".as_slice();
    for (bytes, starts, says) in [
        (version.as_slice(), reply, "strowger "),
        (&[version.as_slice(), version].concat(), reply, "strowger "),
        (b"rubbish", fault, "not a request: it does not start like BINRPC"),
        (b"\xa1\x0f\xff\xff\xff\xff\0\0\0\0", fault, "not a request: it is too long"),
        (b"\xa1\x03\x03\x01\x02\x03\x04\x91\x0dco", fault, "not a request: a truncated value"),
        (
            b"\xa1\x03\x02\x01\x02\x03\x04\x10\x07",
            fault,
            "not a request: it must start with the name of a method",
        ),
        (&version[..9], b"", ""),
    ] {
        let answer = tools.stream("ctl", bytes);
        let text = String::from_utf8_lossy(&answer);
        assert!(answer.starts_with(starts) && text.contains(says), "{bytes:?}: {text}");
        ends.call(relay.address(), "");
    }
    // A wrong payload ends nothing: the next request on that connection is answered.
    let wrong = b"\xa1\x03\x01\x01\x02\x03\x04\x83".as_slice();
    let answer = tools.stream("ctl", &[wrong, version].concat());
    assert!(answer.starts_with(fault) && String::from_utf8_lossy(&answer).contains("strowger "));

    for (bytes, says) in [
        (ask(""), VERSION),
        ("rubbish".into(), NO_JSON),
        ("{\"jsonrpc\":".into(), NO_JSON),
        (format!("{{\"x\":\"{}\"}}", "x".repeat(65_460)), NO_JSON),
    ] {
        let answer = tools.datagram(bytes.as_bytes());
        assert!(answer.starts_with(says), "{bytes:.50}: {answer}");
        ends.call(relay.address(), "");
    }
    // A client without an address gets none, and the next one does.
    let nobody = UnixDatagram::unbound().expect("a socket");
    nobody.send_to(ask("").as_bytes(), tools.path("rpc.sock")).expect("a control socket");
    assert!(tools.datagram(ask("").as_bytes()).starts_with(VERSION));

    let json = "Content-Type: application/json\r\n";
    for (rows, body, says) in [
        (json, ask("").as_str(), "HTTP/1.1 200 OK"),
        (json, "rubbish", "HTTP/1.1 200 OK"),
        ("", &ask(""), "HTTP/1.1 415 "),
        (
            "Content-Type: application/json\r\nOrigin: http://evil.example\r\n",
            &ask(""),
            "HTTP/1.1 403 ",
        ),
        (json, &giant, "HTTP/1.1 413 "),
    ] {
        let answer = tools.post(rows, body);
        assert!(answer.starts_with(says), "{body:.50}: {answer}");
        ends.call(relay.address(), "");
    }
    assert!(tools.post(json, &ask("")).contains(VERSION));
    assert!(tools.post(json, "rubbish").contains(NO_JSON));
    let host = tools.http();
    for (text, says) in [
        (
            format!("GET /other HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"),
            "HTTP/1.1 405 ",
        ),
        ("POST / HTTP/1.1\r\nHost: evil\r\nConnection: close\r\n\r\n".into(), "HTTP/1.1 403 "),
        ("rubbish\r\n\r\n".into(), "HTTP/1.1 400 "),
        (
            format!(
                "POST / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{json}Content-Length: 99\r\n\r\n{{"
            ),
            "HTTP/1.1 408 ",
        ),
    ] {
        let answer = tools.say_http(text.as_bytes());
        assert!(answer.starts_with(says), "{text}: {answer}");
    }
    ends.call(relay.address(), "");
    relay.stop();
}

/// Those within the bound are served, those beyond it are closed, and when they are gone all is well.
#[test]
fn a_crowd_at_a_control_socket() {
    let (tools, mut ends) = (Tools::new(), Ends::new());
    let mut relay = Relay::with_list(&ends.list()).unwatched().config(&tools.config()).start();
    for name in ["ctl", "cli.sock"] {
        let before = relay.log().len();
        let crowd: Vec<UnixStream> = (0..900)
            .map(|_| UnixStream::connect(tools.path(name)).expect("a control socket"))
            .collect();
        relay.wait_log(before, &["a connection is refused: 64 are open already"]);
        ends.call(relay.address(), "");
        // The other control sockets are open.
        assert!(tools.datagram(ask("").as_bytes()).starts_with(VERSION));
        let open = crowd.iter().filter(|stream| {
            stream.set_nonblocking(true).expect("an open socket");
            (&mut &**stream).read(&mut [0]).is_err()
        });
        assert!(open.count() <= 64);
        drop(crowd);
        wait::until("a free place", || {
            let version = tools.kamcmd(&["core.version"]);
            version.starts_with("strowger ").then_some(())
        });
    }
    relay.stop();
}

#[test]
fn a_reload_that_waits_holds_nobody() {
    let (tools, database, mut ends) = (Tools::new(), Sqlite::new(), Ends::new());
    database.make("kamailio");
    let row = format!(
        "INSERT INTO dispatcher (setid, destination, flags, priority, attrs, description) \
         VALUES (1, 'sip:{}', 0, 0, '', '');",
        ends.server()
    );
    database.play("kamailio", &row);
    let source = database.source("", "", "kamailio");
    let relay = Relay::with_source(&source).config(&tools.config()).start();

    // Somebody has the whole file for himself.
    let mut holder = Process::start(
        "sqlite3",
        Command::new("sqlite3")
            .arg(database.file("kamailio"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped()),
    );
    let mut input = holder.child().stdin.take().expect("a pipe");
    input.write_all(b"BEGIN EXCLUSIVE;\nSELECT 'held';\n").expect("a client that reads");
    let mut held = [0; 5];
    holder.child().stdout.take().expect("a pipe").read_exact(&mut held).expect("its word");

    thread::scope(|scope| {
        let reload = scope.spawn(|| tools.kamctl(&["dispatcher", "reload"]));
        for _ in 0..2 {
            assert!(tools.kamcmd(&["dispatcher.list"]).contains("NRSETS: 1\n"));
            assert!(tools.datagram(ask("").as_bytes()).starts_with(VERSION));
            // At the same control socket too, after a while.
            assert!(tools.kamctl(&["dispatcher", "dump"]).contains("\"NRSETS\": 1,"));
            ends.call(relay.address(), "");
        }
        assert!(!reload.is_finished(), "the file is held");
        input.write_all(b"COMMIT;\n").expect("a client that reads");
        let said = reload.join().expect("a reload");
        assert!(said.contains("Ok. Dispatcher successfully reloaded."), "{said}");
    });
    relay.stop();
}

#[test]
fn a_command_that_panics_is_a_fault() {
    let (tools, mut ends) = (Tools::new(), Ends::new());
    let relay = Relay::with_list(&ends.list())
        .unwatched()
        .config(&tools.config())
        .panicking_at("strowger reload")
        .start();
    for _ in 0..3 {
        let said = tools.kamcmd(&["dispatcher.reload"]);
        assert!(said.starts_with("error: 500 - Reload Failed: a bug, please report it"), "{said}");
        assert!(tools.kamcmd(&["core.version"]).starts_with("strowger "));
        ends.call(relay.address(), "");
    }
    relay.stop();
}

/// What a relay that died left behind is replaced; what another listens at, and what is no control socket, is
/// not touched; all mistakes are told at once.
#[test]
fn files_of_control_sockets() {
    let (tools, ends) = (Tools::new(), Ends::new());
    let sockets = ["rpc.fifo", "rpc.sock", "ctl", "cli.sock"];
    let relay = Relay::with_list(&ends.list()).unwatched().config(&tools.config()).start();
    for socket in sockets {
        let found = fs::symlink_metadata(tools.path(socket)).expect("a control socket");
        assert_eq!(found.mode() & 0o777, 0o660, "{socket}");
        assert_eq!(found.file_type().is_fifo(), socket == "rpc.fifo");
    }
    let told = Relay::with_list(&ends.list()).unwatched().config(&tools.config()).refused();
    for key in ["socket", "fifo", "datagram", "binrpc"] {
        assert!(
            told.contains(&format!("control.{key}: another process is listening on ")),
            "{told}"
        );
    }
    assert!(told.contains("control.http: ") && told.contains("cannot listen on "), "{told}");
    assert!(tools.kamcmd(&["core.version"]).starts_with("strowger "), "the first one serves on");

    // It dies without a word: its files stay, and the next one takes their places.
    relay.kill();
    assert!(sockets.iter().all(|socket| tools.path(socket).exists()));
    let relay = Relay::with_list(&ends.list()).unwatched().config(&tools.config()).start();
    assert!(tools.kamcmd(&["core.version"]).starts_with("strowger "));
    assert!(tools.kamctl(&["rpc", "core.version"]).contains("strowger "));
    relay.stop();
    for socket in sockets {
        assert!(!tools.path(socket).exists(), "{socket} is left");
        fs::write(tools.path(socket), "precious").unwrap();
    }
    let told = Relay::with_list(&ends.list()).unwatched().config(&tools.config()).refused();
    assert_eq!(told.matches("exists and is not a ").count(), 4, "{told}");
    for socket in sockets {
        assert_eq!(fs::read_to_string(tools.path(socket)).unwrap(), "precious");
    }

    // The default place of the command line's socket is nobody's word: without it the relay serves.
    let folder = Path::new("/proc/no/such/folder");
    let config = format!("[control]\nfifo = {:?}\n", folder.join("fifo"));
    let told = Relay::with_list(&ends.list()).unwatched().config(&config).refused();
    assert!(told.contains("control.fifo: /proc/no/such/folder/fifo"), "{told}");
}

/// An answer of any size goes where there is a stream; in a datagram as far as the kernel lets it.
#[test]
fn ten_thousand_destinations_at_every_control_socket() {
    let tools = Tools::new();
    let list: String = (0..10_000)
        .map(|n| format!("1 sip:127.1.{}.{}:5060 0 0 duid=ms{n}\n", n / 250, n % 250 + 1))
        .collect();
    let relay = Relay::with_list(&list).config(&tools.config()).start();
    let list = ask("").replace("core.version", "dispatcher.list");
    let count = |answer: &str| answer.matches("\"DEST\":").count();
    let stream = tools.stream("cli.sock", list.as_bytes());
    assert_eq!(count(&String::from_utf8_lossy(&stream)), 10_000);
    let json = "Content-Type: application/json\r\n";
    assert_eq!(count(&tools.post(json, &list)), 10_000);
    let datagram = tools.datagram(list.as_bytes());
    let is_too_big = datagram.contains("\"message\":\"Reply Too Big\"");
    assert!(is_too_big || count(&datagram) == 10_000, "{datagram:.200}");
    println!("a datagram held it: {}", !is_too_big);
    relay.stop();
}
