//! A server that answers with a task, for a client that knows none: the task is seen through here, and its result is the
//! answer (BR-87).

use std::collections::HashSet;

use portcullis_mcp::{
    Message, Method,
    dialect::{Stamp, Task, TaskStatus, of_task},
    message::{self, Outcome},
    object::{Object, quoted},
    scan,
};

use super::{
    asking::{Asking, notification},
    drive::{Drive, Progress, Stop, request, unusable},
    host::{Host, internal},
};
use crate::{correlation, upstream::CLIENT_INFO};

/// Keys of questions that are remembered of one task.
const KEYS: usize = 256;

/// A task that is ended with the call that it answers.
struct Tied {
    host: Host,
    cancel: Option<String>,
}

impl Drop for Tied {
    // spec: BR-87: "cancel with the call"
    fn drop(&mut self) {
        if let Some(cancel) = self.cancel.take() {
            let host = self.host.clone();
            tokio::spawn(correlation::carried(async move { drop(host.ask(&cancel, Method::TasksCancel).await) }));
        }
    }
}

impl Drive {
    /// Waits for the task's end, asking the client for what it needs.
    pub(super) async fn see_through(
        &self,
        created: &Task<'_>,
        asking: &mut Asking,
        progress: &mut Progress,
    ) -> Result<(), Stop> {
        let named = of_task(&created.id);
        let about = |method| request(method, &self.stamped(&named));
        let mut tied = Tied { host: self.host.clone(), cancel: Some(about(Method::TasksCancel)) };
        let mut poll = created.poll;
        let mut said = None;
        let mut given = HashSet::new();
        loop {
            tokio::time::sleep(poll).await;
            let Some(text) = self.put(&about(Method::TasksGet), Method::TasksGet, progress).await? else {
                return Ok(());
            };
            let Ok(Message::Response(response)) = message::message(&text) else {
                return Err(unusable(&self.host).into());
            };
            let result = match response.outcome {
                Outcome::Result(result) => result,
                Outcome::Error { raw, .. } => {
                    self.tell_error(raw).await;
                    return Ok(());
                }
            };
            let Some(task) = Task::read(result) else { return Err(unusable(&self.host).into()) };
            if !task.status.is_final() && task.message != said {
                self.tell_state(&task, progress).await;
                said = task.message.as_deref().map(|text| text.to_owned().into());
            }
            match task.status {
                TaskStatus::Working => {}
                TaskStatus::InputRequired => self.give(&named, task.raw, &mut given, asking, progress).await?,
                TaskStatus::Completed => {
                    tied.cancel = None;
                    let result = scan::member(task.raw, "result").unwrap_or("{}");
                    self.pages_done(asking).await;
                    self.tell_result(result).await;
                    return Ok(());
                }
                TaskStatus::Failed => {
                    tied.cancel = None;
                    match scan::member(task.raw, "error") {
                        Some(error) => self.tell_error(error).await,
                        None => return Err(internal("The task failed.").into()),
                    }
                    return Ok(());
                }
                TaskStatus::Cancelled => {
                    tied.cancel = None;
                    return Err(internal("The task was cancelled by its server.").into());
                }
            }
            poll = task.poll;
        }
    }

    async fn give(
        &self,
        named: &str,
        task: &str,
        given: &mut HashSet<String>,
        asking: &mut Asking,
        progress: &mut Progress,
    ) -> Result<(), Stop> {
        // spec: BR-85: keys are never used again, so what was answered and is still there is not asked twice.
        let mut requests = scan::member(task, "inputRequests").and_then(Object::read).unwrap_or_default();
        requests.retain(|key, _| !given.contains(key));
        if requests.is_empty() || given.len() > KEYS {
            return Ok(());
        }
        given.extend(requests.members().map(|(key, _)| key.to_owned()));
        let responses = self.gathered(&requests.finish(), asking).await?;
        let mut params = Object::read(named).unwrap_or_default();
        params.set("inputResponses", responses);
        let text = request(Method::TasksUpdate, &self.stamped(&params.finish()));
        match self.put(&text, Method::TasksUpdate, progress).await? {
            Some(_) => Ok(()),
            None => Err(Stop::Silence),
        }
    }

    async fn tell_state(&self, task: &Task<'_>, progress: &mut Progress) {
        let (Some(token), Some(message)) = (&self.progress, &task.message) else { return };
        let at = progress.step();
        let params = format!(r#"{{"progressToken":{token},"progress":{at},"message":{}}}"#, quoted(message));
        self.outlet.say(&notification("notifications/progress", &params)).await;
    }

    fn stamped(&self, params: &str) -> String {
        let stamp =
            Stamp { client_info: CLIENT_INFO, abilities: &self.abilities, log_level: None, progress_token: None };
        let out = self.down.request_params(Some(params), &stamp);
        // What a client may not say for itself, this says.
        match scan::member(params, "inputResponses") {
            Some(responses) => {
                let mut object = Object::read(&out).unwrap_or_default();
                object.set("inputResponses", responses);
                object.finish().into_owned()
            }
            None => out,
        }
    }
}
