//! Tools of 2025-11-25 that run as tasks, for clients that know nothing of it: asked how they stand, and fetched.

use portcullis_mcp::dialect::{Task, TaskStatus, of_task};
use tokio::time::{Duration, Instant, sleep, timeout};

use super::{
    front::Front,
    run::Run,
    wire::{Asking, Fault, Kind, Repeats},
};
use crate::upstream::UpstreamError;

/// How long ending a task may take.
const FAREWELL: Duration = Duration::from_secs(5);

impl Run {
    /// Waits until the task has something to say, and asks for it; `true` if that ended the call.
    // spec: BR-98: "call it with task, poll tasks/get, fetch tasks/result"
    // spec: BR-80: of the task itself nothing is handed on.
    pub(super) async fn go_through(&mut self, task: &Task<'_>, front: &mut Front) -> bool {
        self.task = Some((*task.id).into());
        let params = of_task(&task.id);
        let (mut status, mut poll) = (task.status, task.poll);
        let late = Instant::now() + self.legacy.limits.total;
        while matches!(status, TaskStatus::Working) {
            // Whoever waits for it sees signs of life.
            front.begin();
            tokio::select! {
                () = front.gone() => {
                    self.cancel_task(&task.id).await;
                    return true;
                }
                () = sleep(poll) => {}
            }
            if Instant::now() >= late {
                self.cancel_task(&task.id).await;
                front.fail(UpstreamError::Late, &self.legacy.name).await;
                return true;
            }
            let answer = self.lease.question(&self.caller, self.legacy.next_id(), "tasks/get", &params).await;
            let state = match answer {
                Ok(state) => state,
                Err(fault) => {
                    front.fail(fault.into(), &self.legacy.name).await;
                    return true;
                }
            };
            let Some(now) = Task::read(&state) else {
                front.fail(UpstreamError::Unusable("its task has no state"), &self.legacy.name).await;
                return true;
            };
            (status, poll) = (now.status, now.poll);
        }
        match self.fetch(&task.id, &params).await {
            Ok(()) => false,
            Err(fault) => {
                front.fail(fault.into(), &self.legacy.name).await;
                true
            }
        }
    }

    /// Asks for the result, on whose stream the server also asks what it wants to know.
    async fn fetch(&mut self, task: &str, params: &str) -> Result<(), Fault> {
        let id = self.legacy.next_id();
        let body = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tasks/result","params":{params}}}"#);
        let asking = Asking { id, body, kind: Kind::Task(task), repeatable: Repeats::Freely };
        self.events = self.lease.wire.ask(&self.caller, asking).await?;
        Ok(())
    }

    pub(super) async fn cancel_task(&self, task: &str) {
        let params = of_task(task);
        let asked = self.lease.question(&self.caller, self.legacy.next_id(), "tasks/cancel", &params);
        drop(timeout(FAREWELL, asked).await);
    }
}
