//! One fsync for many: admissions that must survive a power cut wait here together.
//!
//! While one fsync runs the next waiters gather; each is released by a sync that began after its write.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

type Waiter = (Arc<File>, oneshot::Sender<Result<(), io::ErrorKind>>);

#[derive(Debug, Default)]
struct Inbox {
    waiters: Vec<Waiter>,
    closing: bool,
}

#[derive(Debug)]
pub(super) struct GroupSync {
    shared: Arc<(Mutex<Inbox>, Condvar)>,
    thread: Option<JoinHandle<()>>,
}

impl GroupSync {
    pub(super) fn start() -> io::Result<Self> {
        let shared: Arc<(Mutex<Inbox>, Condvar)> = Arc::default();
        let theirs = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("audit-sync".into())
            .spawn(move || run(&theirs))?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// Waits until what was written to `file` before this call is on disk.
    pub(super) async fn wait(&self, file: Arc<File>) -> Result<(), io::ErrorKind> {
        let (told, wait) = oneshot::channel();
        let (inbox, wake) = &*self.shared;
        inbox.lock().waiters.push((file, told));
        wake.notify_one();
        wait.await.unwrap_or(Err(io::ErrorKind::BrokenPipe))
    }
}

impl Drop for GroupSync {
    fn drop(&mut self) {
        let (inbox, wake) = &*self.shared;
        inbox.lock().closing = true;
        wake.notify_one();
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

fn run(shared: &(Mutex<Inbox>, Condvar)) {
    let (inbox, wake) = shared;
    loop {
        let mut waiting = inbox.lock();
        if waiting.waiters.is_empty() {
            if waiting.closing {
                return;
            }
            wake.wait(&mut waiting);
        }
        let waiters = std::mem::take(&mut waiting.waiters);
        drop(waiting);
        let mut synced: Vec<(Arc<File>, Result<(), io::ErrorKind>)> = Vec::new();
        for (file, told) in waiters {
            let known = synced
                .iter()
                .find(|(done, _)| Arc::ptr_eq(done, &file))
                .map(|(_, result)| *result);
            let result = known.unwrap_or_else(|| {
                let result = file.sync_data().map_err(|why| why.kind());
                synced.push((file, result));
                result
            });
            // A request that was dropped meanwhile no longer listens.
            told.send(result).ok();
        }
    }
}
