//! The list of public weights, and fetching as far as it goes without them.
#![cfg(feature = "zoo")]

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};

fn tinception(args: &[&str], folder: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tinception")).args(args).current_dir(folder).output().expect("it starts")
}

fn refused(args: &[&str], folder: &Path, words: &[&str]) {
    let output = tinception(args, folder);
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{error}");
    for word in words {
        assert!(error.contains(word), "'{word}' is missing in: {error}");
    }
    assert_eq!(error.lines().count(), 1, "{error}");
}

#[test]
fn the_list_says_where_everything_is_from() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = String::from_utf8(tinception(&["zoo"], folder.path()).stdout).expect("UTF-8");
    let json = tinception(&["zoo", "--json"], folder.path()).stdout;
    let zoo: serde_json::Value = serde_json::from_slice(&json).expect("one document");
    let entries = zoo["public"].as_array().expect("a list");
    assert_eq!(entries.len(), 4);
    let on_board = zoo["on_board"].as_array().expect("a list");
    assert_eq!(on_board.iter().filter(|model| model["default"] == true).count(), 1, "{zoo}");
    for model in on_board {
        let name = model["name"].as_str().expect("a name");
        assert!(text.contains(name), "{name} is missing in {text}");
    }
    for entry in entries {
        for key in ["name", "file", "hash", "licence", "labels"] {
            let value = entry[key].as_str().expect(key);
            assert!(!value.is_empty() && text.contains(value), "{key} {value} is missing in {text}");
        }
    }
}

#[test]
fn what_cannot_be_fetched() {
    let folder = tempfile::tempdir().expect("a folder");
    refused(&["fetch", "alexnet"], folder.path(), &["alexnet", "googlenet-caffe"]);
    refused(&["fetch", "googlenet-caffe", "--folder", "absent"], folder.path(), &["absent", "folder"]);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}/x", listener.local_addr().expect("an address"));
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc");
        }
    });
    let words =
        ["bvlc_googlenet.caffemodel", url.as_str(), "6f7101e3a2183738a7125a0c5021ba82a1feb4228c5ca0924d991b6daf6f6fad"];
    refused(&["fetch", "googlenet-caffe", "--from", &url], folder.path(), &words);
    assert_eq!(std::fs::read_dir(folder.path()).expect("read").count(), 0, "nothing is left behind");
    let nobody = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
    let url = format!("http://{nobody}/x");
    refused(&["fetch", "googlenet-caffe", "--from", &url], folder.path(), &["online", &url]);
}
