//! The files, as they lie in `assets/`.

macro_rules! assets {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_bytes!(concat!("assets/", $name)).as_slice())),*]
    };
}

/// Each file's name, relative to `assets/`, and what is in it.
pub(super) const ASSETS: &[(&str, &[u8])] = assets![
    "app.css",
    "icon.svg",
    "jobmanager.html",
    "jobmanager/actions.js",
    "jobmanager/checkpoints.js",
    "jobmanager/exceptions.js",
    "jobmanager/graph.js",
    "jobmanager/job.js",
    "jobmanager/jobmanager.js",
    "jobmanager/load.js",
    "jobmanager/main.js",
    "jobmanager/overview.js",
    "jobmanager/submit.js",
    "jobmanager/taskmanagers.js",
    "jobmanager/timeline.js",
    "jobmanager/vertex.js",
    "lib/bits.js",
    "lib/dialog.js",
    "lib/format.js",
    "lib/gantt.js",
    "lib/html.js",
    "lib/log.js",
    "lib/net.js",
    "lib/plot.js",
    "lib/route.js",
    "lib/shell.js",
    "lib/theme.js",
    "lib/token.js",
    "nodemanager.html",
    "nodemanager/main.js",
    "resourcemanager.html",
    "resourcemanager/application.js",
    "resourcemanager/applications.js",
    "resourcemanager/capacity.js",
    "resourcemanager/cluster.js",
    "resourcemanager/main.js",
    "resourcemanager/nodes.js",
    "resourcemanager/queues.js",
    "resourcemanager/topology.js",
    "vendor/LICENSES.txt",
    "vendor/dagre.js",
    "vendor/hooks.js",
    "vendor/htm.js",
    "vendor/preact.js",
    "vendor/signals-core.js",
    "vendor/signals.js",
    "vendor/uplot.css",
    "vendor/uplot.js",
];
