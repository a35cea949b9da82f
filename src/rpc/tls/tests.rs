use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::testing::Authority;
use super::*;

/// What both sides make of each other: a word that went there and back, and whether a member said it.
async fn meet(server: &Tls, client: &Tls) -> Result<bool, String> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let acceptor = server.acceptor().unwrap();
    let serving = async {
        let (stream, _) = listener.accept().await.unwrap();
        let (mut stream, member) = acceptor.accept(stream).await.map_err(|error| io_cause(&error))?;
        let mut word = [0; 4];
        stream.read_exact(&mut word).await.map_err(|error| io_cause(&error))?;
        stream.write_all(&word).await.map_err(|error| io_cause(&error))?;
        stream.shutdown().await.map_err(|error| io_cause(&error))?;
        Ok(member)
    };
    let connector = client.connector().unwrap();
    let asking = async {
        let mut stream = connector.connect(stream).await.map_err(|error| io_cause(&error))?;
        stream.write_all(b"word").await.map_err(|error| io_cause(&error))?;
        let mut word = Vec::new();
        stream.read_to_end(&mut word).await.map_err(|error| io_cause(&error))?;
        assert_eq!(word, b"word");
        Ok::<_, String>(())
    };
    let (served, asked) = tokio::join!(serving, asking);
    asked.and(served)
}

#[tokio::test]
async fn members_know_each_other_and_strangers_are_told_from_them() {
    let cluster = Authority::new();
    let member = cluster.tls(Some(MEMBER_NAME));
    assert_eq!(meet(&member, &member).await, Ok(true));
    assert_eq!(meet(&member, &cluster.tls(None)).await, Ok(false), "a client without certificate");
    let other_name = cluster.tls(Some("mail.example"));
    assert_eq!(meet(&member, &other_name).await, Ok(false), "signed by the same authority for something else");
    let refused = meet(&other_name, &member).await.unwrap_err();
    assert!(refused.contains("not one of this cluster's members"), "{refused}");
}

#[tokio::test]
async fn members_of_another_cluster_are_refused_with_what_to_do() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let (server, client) = (ours.tls(Some(MEMBER_NAME)), theirs.tls(Some(MEMBER_NAME)));
    let refused = meet(&server, &client).await.unwrap_err();
    assert!(refused.contains("not signed by the authority in security.tls.ca"), "{refused}");
    // It believes us, and we do not believe it.
    let half = TlsFiles { ca: ours.files(None).ca, ..theirs.files(Some(MEMBER_NAME)) };
    let refused = meet(&server, &Tls::load(half).unwrap()).await.unwrap_err();
    assert!(refused.contains("does not believe our certificate"), "{refused}");
}

#[test]
fn what_is_wrong_with_a_file_is_said() {
    let cluster = Authority::new();
    let refused = |files: TlsFiles| Tls::load(files).unwrap_err().to_string();
    let nowhere = cluster.dir().join("nowhere");
    assert!(refused(TlsFiles { ca: nowhere, ..cluster.files(None) }).ends_with("nowhere: no such file or directory"));
    let empty = cluster.dir().join("empty");
    std::fs::write(&empty, "nothing").unwrap();
    assert!(refused(TlsFiles { ca: empty.clone(), ..cluster.files(None) }).contains("holds no certificate"));
    let (pem, _) = cluster.files(Some("a")).own.unwrap();
    assert!(refused(TlsFiles { own: Some((pem.clone(), empty)), ..cluster.files(None) }).contains("no private key"));
    let (_, other_key) = cluster.files(Some("b")).own.unwrap();
    assert!(refused(TlsFiles { own: Some((pem, other_key)), ..cluster.files(None) }).contains("belong together"));
    assert!(refused(TlsFiles { name: "two words".to_owned(), ..cluster.files(None) }).contains("is no name"));
    assert!(!Tls::OFF.is_on() && Tls::OFF.connector().is_none() && Tls::OFF.scheme() == "http");
}
