//! The Web UI in a browser: what a person does there, and that every page can be looked at.

use std::io::Write as _;
use std::net::TcpListener;

use crate::browser::Browser;
use crate::cluster::{Standalone, Yarn};
use crate::processes::{PATIENCE, example, wait_for};

fn button(text: &str) -> String {
    format!("//button[normalize-space()='{text}']")
}

fn field(label: &str) -> String {
    format!("//label[contains(., '{label}')]//input")
}

#[test]
fn a_program_is_brought_run_watched_and_cancelled_in_the_page() {
    let cluster = Standalone::start(1, 2);
    let words = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = words.local_addr().unwrap().port().to_string();
    let browser = Browser::start();
    browser.open(&format!("http://{}/#/submit", cluster.job_manager.address));
    browser.type_into("//input[@type='file']", example("socket_window_wordcount").to_str().unwrap());

    // The form is the program's own description.
    browser.type_into(&field("--port"), &port);
    browser.type_into(&field("--window"), "500ms");
    browser.type_into(&field("Parallelism"), "2");
    browser.click(&button("Preview the plan"));
    browser.shows("Source: Socket Text Stream");
    browser.click(&button("Run"));
    let (mut socket, _) = words.accept().unwrap();
    browser.shows("socket window wordcount");
    browser.shows("running");

    socket.write_all(b"to be or not to be\n").unwrap();
    browser.click("//nav//a[normalize-space()='TaskManagers']");
    browser.click("//td/a[contains(@href, '#/taskmanagers/')]");
    browser.click("//nav//a[normalize-space()='Standard output']");
    for count in ["(to,2)", "(be,2)", "(or,1)", "(not,1)"] {
        browser.shows(count);
    }
    browser.type_into("//input[@aria-label='Show only lines with']", "not");
    browser.shows("1 of");
    browser.picture("stdout");

    browser.click("//nav//a[normalize-space()='Jobs']");
    browser.click("//td/a[normalize-space()='socket window wordcount']");
    browser.click(&button("Cancel"));
    browser.shows("no savepoint is taken");
    browser.click(&button("Cancel the job"));
    browser.shows("canceled");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

/// Opens each page in both themes: it has what it is for, fits the window, can be read, and neither a script nor a request fails.
fn tour(browser: &Browser, name: &str, base: &str, pages: &[(&str, &str)]) {
    for theme in ["light", "dark"] {
        browser.prefer(theme);
        for (page, text) in pages {
            browser.open(&format!("{base}{page}"));
            browser.shows(text);
            let shape = "return document.documentElement.scrollWidth - innerWidth";
            assert!(browser.script(shape).as_i64().unwrap() <= 0, "{page} is wider than the window");
            let unknown = "return document.body.innerText.match(/NaN|undefined|\\[object/)";
            assert_eq!(browser.script(unknown), serde_json::Value::Null, "{page} says what nobody should read");
            let label: String = page.chars().map(|c| if c.is_alphanumeric() { c } else { '-' }).take(60).collect();
            browser.picture(&format!("{name}-{theme}{label}"));
            assert_eq!(browser.script(include_str!("legible.js")), serde_json::json!([]), "{page} in {theme}");
            assert_eq!(browser.complaints(), Vec::<String>::new(), "{page} in {theme}");
        }
    }
}

#[test]
fn the_page_can_be_used_from_the_keyboard_alone() {
    let cluster = Standalone::start(1, 2);
    let browser = Browser::start();
    browser.open(&format!("http://{}/#/", cluster.job_manager.address));
    browser.shows("No job is running");
    // Everything that can be used gets the focus, one after the other, and shows it.
    let focused = "const it = document.activeElement, style = getComputedStyle(it); \
                   return [it.getAttribute('aria-label') || it.textContent.trim(), style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0];";
    let mut seen = Vec::new();
    for _ in 0..6 {
        browser.press('\u{e004}'); // Tab
        let at = browser.script(focused);
        assert_eq!(at[1], true, "the focus is not to be seen on {}", at[0]);
        seen.push(at[0].as_str().unwrap().to_owned());
    }
    for item in ["Jobs", "Submit", "TaskManagers", "JobManager"] {
        assert!(seen.iter().any(|seen| seen.starts_with(item)), "{item} is not reached: {seen:?}");
    }
    // The search, by its key; Enter opens what is found, Escape closes.
    browser.press('/');
    "submit".chars().for_each(|key| browser.press(key));
    browser.press('\u{e007}'); // Enter
    browser.shows("Uploaded programs");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn every_page_of_the_job_manager_can_be_looked_at_in_both_themes() {
    let cluster = Standalone::start(1, 2);
    let input = cluster.dir.path().join("text.txt");
    std::fs::write(&input, "x y x\n".repeat(1000)).unwrap();
    let output = cluster.dir.path().join("counts");
    let program = example("wordcount");
    let program = program.to_str().unwrap();
    cluster
        .flott(&["run"], &[program, "--input", input.to_str().unwrap(), "--output", output.to_str().unwrap()])
        .succeeded();
    // Into a directory of its own: taken output would be a second cause, and either may come first.
    let (nowhere, unused) = (cluster.dir.path().join("nowhere"), cluster.dir.path().join("unused"));
    cluster
        .flott(&["run"], &[program, "--input", nowhere.to_str().unwrap(), "--output", unused.to_str().unwrap()])
        .failed_with("no such file or directory");
    let jobs = cluster.flott(&["list", "--all", "--output", "json"], &[]).succeeded().stdout;
    let jobs: serde_json::Value = serde_json::from_str(&jobs).unwrap();
    let job = |state: &str| {
        let found = jobs.as_array().unwrap().iter().find(|job| job["state"] == state).unwrap();
        found["jid"].as_str().unwrap().to_owned()
    };
    let (good, bad) = (job("FINISHED"), job("FAILED"));
    let browser = Browser::start();
    let pages = [
        ("#/".to_owned(), "Ended jobs"),
        (format!("#/jobs/{good}"), "Source: Text Files"),
        (format!("#/jobs/{good}/timeline"), "in all"),
        (format!("#/jobs/{good}/exceptions"), "No failure so far"),
        (format!("#/jobs/{good}/configuration"), "Submitted with this job"),
        (format!("#/jobs/{bad}"), "no such file or directory: "),
        (format!("#/jobs/{bad}/exceptions"), "no such file or directory: "),
        ("#/submit".to_owned(), "Uploaded programs"),
        ("#/taskmanagers".to_owned(), "slots in use"),
        ("#/jobmanager".to_owned(), "rest.port"),
        ("#/jobmanager/metrics".to_owned(), "taskSlotsTotal"),
        ("#/nothing".to_owned(), "There is no such page"),
    ];
    let pages: Vec<(&str, &str)> = pages.iter().map(|(page, text)| (page.as_str(), *text)).collect();
    tour(&browser, "jobmanager", &format!("http://{}/", cluster.job_manager.address), &pages);
}

#[test]
fn every_page_of_the_cluster_can_be_looked_at_in_both_themes() {
    let cluster = Yarn::start(2);
    let words = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = words.local_addr().unwrap().port().to_string();
    // More slots than the nodes have: it says what it waits for.
    let (id, _) = cluster.submit(&["-p", "64"], &example("socket_window_wordcount"), &["--port", &port]);
    wait_for("the application to wait for containers", PATIENCE, || {
        let listed = cluster.flott(&["app", "status", &id], &[]);
        listed.stdout.contains("no node has").then_some(())
    });
    let browser = Browser::start();
    let node = &cluster.nodes[0].address;
    let pages = [
        ("#/".to_owned(), "really used on the machines"),
        ("#/applications".to_owned(), id.as_str()),
        (format!("#/applications/{id}"), "Containers of attempt 1"),
        (format!("#/applications/{id}/attempts"), "Master's container"),
        (format!("#/applications/{id}/waiting"), "What the nodes say"),
        ("#/nodes".to_owned(), node.as_str()),
        (format!("#/nodes/{node}"), "Used by containers"),
        ("#/queues".to_owned(), "root.default"),
        ("#/activities".to_owned(), "What waits"),
        (format!("#/activities?node={node}"), "does not serve"),
    ];
    let pages: Vec<(&str, &str)> = pages.iter().map(|(page, text)| (page.as_str(), *text)).collect();
    tour(&browser, "resourcemanager", &format!("http://{}/", cluster.resource_manager.address), &pages);

    // The application's own interface, behind the ResourceManager's address; and its master's log, at its node.
    browser.open(&format!("http://{}/#/applications/{id}", cluster.resource_manager.address));
    browser.click("//a[normalize-space()='Open its own interface']");
    browser.shows("Running jobs");
    browser.shows("needs 64 slots");
    browser.open(&format!("http://{node}/"));
    browser.shows("This node");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn jobs_of_an_application_that_has_ended_are_shown_from_their_archives() {
    let cluster = Yarn::start(1);
    let (id, job) = cluster.submit(&[], &example("faulty"), &["panic-in-map"]);
    cluster.wait_application(&id, "FINISHED");
    let browser = Browser::start();
    browser.open(&format!("http://{}/#/applications/{id}", cluster.resource_manager.address));
    browser.click("//a[contains(., 'archived job')]");
    browser.shows("Ended jobs");
    browser.click("//td/a[normalize-space()='faulty']");
    browser.shows("panics on request");
    let pages = [
        ("#/", "Archived jobs"),
        (&format!("#/jobs/{job}"), "Sequence Source"),
        (&format!("#/jobs/{job}/timeline"), "Sequence Source"),
        (&format!("#/jobs/{job}/exceptions"), "the map function panics on request"),
        (&format!("#/jobs/{job}/configuration"), "Restart strategy"),
    ];
    let base = format!("http://{}/proxy/{id}/", cluster.resource_manager.address);
    tour(&browser, "archive", &base, &pages);
}
