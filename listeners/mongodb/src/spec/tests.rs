use super::*;

fn good() -> Value {
    json!({
        "hosts": ["db-1.example:27017", "[::1]:27017"],
        "replica_set": "rs0",
        "credentials": "file:/etc/tidemark/mongodb",
        "auth": {"mechanism": "SCRAM-SHA-256", "source": "admin"},
        "tls": {"ca": "/etc/ca.pem", "certificate": "/etc/own.pem"},
        "members": ["db-2.example:27017", "db-3.example:27017"],
        "heartbeat": "tidemark.beat",
    })
}

fn with(pointer: &str, value: Value) -> String {
    let mut spec = good();
    *spec.pointer_mut(pointer).expect("the pointer names a field") = value;
    tidemark_gateway::causes::joined(&MongoSpec::parse(&spec).expect_err("the value is wrong"))
}

#[test]
fn a_whole_specification_is_taken_and_says_what_it_uses() {
    let spec = MongoSpec::parse(&good()).unwrap();
    assert_eq!(serde_json::to_value(&spec).unwrap(), good());
    let uses = spec.uses();
    assert_eq!(uses.credentials, ["/etc/ca.pem", "/etc/own.pem", "/etc/tidemark/mongodb"].map(PathBuf::from));
    assert_eq!(uses.addresses.len(), 4);
    let mut at = good();
    (at["credentials"], at["tls"]["ca"]) = (json!("file:/etc/a@b"), json!("/etc/ca@b.pem"));
    assert!(MongoSpec::parse(&at).is_ok(), "a path may have any name");
    assert_eq!(MongoSpec::parse(&json!({"hosts": ["a:1"]})).unwrap().listeners().unwrap()[0].id, WHOLE);
}

#[test]
fn errors_name_the_field_and_show_no_secret() {
    let table = [
        ("/hosts", json!([]), "hosts"),
        ("/hosts/0", json!("mongodb://user:secret@a:1"), "hosts[0]"),
        ("/hosts/0", json!("user:secret@a:1"), "hosts[0]"),
        ("/hosts/0", json!("mongodb://a:1/?authMechanismProperties=AWS_SESSION_TOKEN:secret"), "hosts[0]"),
        ("/hosts", json!("mongodb+srv://user:secret@a"), "hosts"),
        ("/hosts/0", json!("file:user:secret@a:1"), "hosts[0]"),
        ("/hosts/0", json!("/user:secret@a:1"), "hosts[0]"),
        ("/members/0", json!("mongodb://user:secret@a:1"), "members[0]"),
        ("/auth", json!("mongodb://user:secret@a:1"), "auth"),
        ("/replica_set", json!({"of": ["mongodb://user:secret@a:1"]}), "replica_set.of[0]"),
        ("/heartbeat", json!("mongodb://user:secret@a:1"), "heartbeat"),
        ("/hosts/1", json!("::1:27017"), "hosts[1]"),
        ("/replica_set", json!(""), "replica_set"),
        ("/credentials", json!("secret"), "credentials"),
        ("/auth/mechanism", json!("GSSAPI"), "auth.mechanism"),
        ("/tls/ca", json!("ca.pem"), "tls.ca"),
        ("/members/0", json!("db-2"), "members[0]"),
        ("/members/1", json!("db-2.example:27017"), "members[1]"),
        ("/heartbeat", json!("beat"), "heartbeat"),
    ];
    for (pointer, value, expected) in table {
        let message = with(pointer, value);
        assert!(message.contains(expected), "{pointer}: {message}");
        assert!(!message.contains("secret"), "{message}");
    }
    let mut uri = good();
    uri["uri"] = json!("mongodb://user:secret@a:1");
    let message = MongoSpec::parse(&uri).unwrap_err().to_string();
    assert!(message.contains("uri") && message.contains("by reference") && !message.contains("secret"), "{message}");
    let mut x509 = good();
    x509["auth"]["mechanism"] = json!("MONGODB-X509");
    x509["tls"] = json!({});
    assert!(MongoSpec::parse(&x509).unwrap_err().to_string().contains("tls.certificate"));
}

#[test]
fn each_member_has_a_listener_of_its_own_without_secrets_among_its_arguments() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("own");
    std::fs::write(&file, "username=backup\npassword=p4ss\n").unwrap();
    let mut spec = good();
    spec["credentials"] = json!(format!("file:{}", file.display()));
    let listeners = MongoSpec::parse(&spec).unwrap().listeners().unwrap();
    let ids: Vec<&str> = listeners.iter().map(|listener| listener.id.as_str()).collect();
    assert_eq!(ids, ["db-2-example-27017", "db-3-example-27017"]);
    for listener in &listeners {
        assert!(!listener.arguments.iter().any(|argument| argument.contains("p4ss") || argument.contains("backup")));
        assert!(listener.secret_environment.iter().any(|(_, value)| value == "p4ss"));
        assert_eq!(listener.arguments[2], "--member");
    }
}
