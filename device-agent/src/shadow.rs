//! Keeps the box's shadows: hears what operators want in `lan`, tells there what is so, and tells in
//! `status` how the box is. The box never writes what is desired.

pub mod exchange;
pub mod mqtt;
pub mod round_trip;
pub mod topics;

use std::{sync::Arc, time::Duration};

use device_model::shadow::{LAN_SHADOW, STATUS_SHADOW};
use serde_json::Value;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::{
    backoff::Backoff,
    clock::Clock,
    health::Health,
    newest,
    shadow::{
        exchange::{Action, Exchange},
        mqtt::{Connection, Endpoint, Heard},
        round_trip::Questions,
        topics::Answer,
    },
    status::StatusSource,
};

/// An answer that takes longer than this will not come.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// Whoever asks for a round trip has not that much time: a line that is dead shall be found and replaced.
const ROUND_TRIP_TIMEOUT: Duration = Duration::from_secs(10);
const FIRST_WAIT: Duration = Duration::from_secs(2);
const LONGEST_WAIT: Duration = Duration::from_mins(2);
/// How often it is looked whether the status changed: sending it at each file would cost the line.
const LOOK_AT_STATUS: Duration = Duration::from_mins(1);

pub struct ShadowSync {
    pub endpoint: Endpoint,
    pub clock: Arc<Clock>,
    pub status: StatusSource,
    /// What the LAN side wants the shadow to show, step by step.
    pub reports: newest::Receiver<Value>,
    /// Where the desired state goes, whole.
    pub desired: newest::Sender<Value>,
    /// Who wants to know whether the cloud answers.
    pub round_trips: Questions,
    pub health: Arc<Health>,
}

enum End {
    Stopped,
    Lost(String),
}

impl ShadowSync {
    pub async fn run(mut self, stop: CancellationToken) -> anyhow::Result<()> {
        let mut exchange = Exchange::default();
        let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
        loop {
            match self.connection(&mut exchange, &mut backoff, &stop).await? {
                End::Stopped => return Ok(()),
                End::Lost(why) => {
                    self.health.line_is(false);
                    let wait = backoff.next_wait();
                    tracing::warn!(
                        error = why,
                        wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
                        "no MQTT connection; trying again"
                    );
                    let urgent = async {
                        sleep(wait.min(FIRST_WAIT)).await;
                        self.round_trips.wanted().await;
                    };
                    tokio::select! {
                        () = stop.cancelled() => return Ok(()),
                        () = sleep(wait) => {}
                        () = urgent => {}
                    }
                }
            }
        }
    }

    async fn connection(
        &mut self,
        exchange: &mut Exchange,
        backoff: &mut Backoff,
        stop: &CancellationToken,
    ) -> anyhow::Result<End> {
        let mut line = Connection::open(&self.endpoint, self.topics());
        let up = async {
            loop {
                match line.next().await {
                    Heard::Up => return None,
                    Heard::Down(why) => return Some(why),
                    Heard::Message { .. } => {}
                }
            }
        };
        tokio::select! {
            () = stop.cancelled() => return Ok(End::Stopped),
            came = timeout_at(Instant::now() + ANSWER_TIMEOUT, up) => match came {
                Ok(None) => {}
                Ok(Some(why)) => return Ok(End::Lost(why)),
                Err(_) => return Ok(End::Lost("no answer to the subscription".to_owned())),
            },
        }
        self.health.line_is(true);
        tracing::info!(thing.name = %self.endpoint.thing, "connected over MQTT");
        let end = self.talk(&mut line, exchange, backoff, stop).await;
        line.close().await;
        end
    }

    async fn talk(
        &mut self,
        line: &mut Connection,
        exchange: &mut Exchange,
        backoff: &mut Backoff,
        stop: &CancellationToken,
    ) -> anyhow::Result<End> {
        let mut look_at_status = interval(LOOK_AT_STATUS);
        look_at_status.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.status.forget_what_was_sent();
        let mut actions = exchange.connected();
        for question in self.round_trips.again() {
            if let Err(why) = self.ask(line, &question) {
                return Ok(End::Lost(why));
            }
        }
        loop {
            for action in actions {
                if let Err(why) = self.act(line, action) {
                    return Ok(End::Lost(why));
                }
            }
            let overdue = [
                exchange.waits_since().map(|since| since + ANSWER_TIMEOUT),
                self.round_trips.wait_since().map(|since| since + ROUND_TRIP_TIMEOUT),
            ];
            let overdue = overdue.into_iter().flatten().min();
            let retry_at = self.status.retry_at();
            actions = tokio::select! {
                () = stop.cancelled() => return Ok(End::Stopped),
                () = tokio::time::sleep_until(overdue.unwrap_or_else(Instant::now)), if overdue.is_some() => {
                    return Ok(End::Lost("the shadow does not answer".to_owned()));
                }
                Some(report) = self.reports.recv() => exchange.report(report),
                question = self.round_trips.next() => match self.ask(line, &question) {
                    Ok(()) => Vec::new(),
                    Err(why) => return Ok(End::Lost(why)),
                },
                _ = look_at_status.tick() => match self.tell_status(line).await {
                    Ok(()) => Vec::new(),
                    Err(why) => return Ok(End::Lost(why)),
                },
                () = tokio::time::sleep_until(retry_at.unwrap_or_else(Instant::now)), if retry_at.is_some() => {
                    match self.tell_status(line).await {
                        Ok(()) => Vec::new(),
                        Err(why) => return Ok(End::Lost(why)),
                    }
                }
                heard = line.next() => match heard {
                    Heard::Down(why) => return Ok(End::Lost(why)),
                    Heard::Up => Vec::new(),
                    Heard::Message { topic, payload } => {
                        if let Some(answer) = Answer::read(&topic, &self.endpoint.thing, LAN_SHADOW) {
                            backoff.reset();
                            if matches!(answer, Answer::GetAccepted | Answer::GetRejected) {
                                self.round_trips.heard(&payload);
                            }
                            exchange.heard(answer, &payload)
                        } else {
                            self.status_heard(&topic, &payload);
                            Vec::new()
                        }
                    }
                },
            };
        }
    }

    fn ask(&self, line: &Connection, question: &Value) -> Result<(), String> {
        line.publish(topics::get(&self.endpoint.thing, LAN_SHADOW), question.to_string().into_bytes())
    }

    async fn tell_status(&mut self, line: &Connection) -> Result<(), String> {
        match self.status.due().await {
            None => Ok(()),
            Some(status) => {
                let topic = topics::update(&self.endpoint.thing, STATUS_SHADOW);
                line.publish(topic, status.to_string().into_bytes())
            }
        }
    }

    fn status_heard(&mut self, topic: &str, payload: &[u8]) {
        match Answer::read(topic, &self.endpoint.thing, STATUS_SHADOW) {
            Some(Answer::UpdateAccepted) => self.status.taken(),
            Some(Answer::UpdateRejected) => {
                let why: Value = serde_json::from_slice(payload).unwrap_or_default();
                self.status.not_taken(&why["code"]);
            }
            _ => {}
        }
    }

    fn act(&self, line: &Connection, action: Action) -> Result<(), String> {
        let thing = &self.endpoint.thing;
        match action {
            Action::Get => line.publish(topics::get(thing, LAN_SHADOW), Vec::new()),
            Action::Update(body) => {
                line.publish(topics::update(thing, LAN_SHADOW), body.to_string().into_bytes())
            }
            Action::Desired(desired) => {
                self.desired.send(desired).map_err(|_| "nobody acts on the desired state".to_owned())
            }
            Action::CloudTime(now) => {
                // To the second only: what a login told more exactly stays, as long as it agrees.
                self.clock.learn_roughly(now);
                Ok(())
            }
            Action::Reconnect(why) => Err(why),
        }
    }

    fn topics(&self) -> Vec<String> {
        let thing = &self.endpoint.thing;
        // AWS IoT takes at most eight in one packet.
        let lan = Answer::ALL.iter().map(|answer| answer.topic(thing, LAN_SHADOW));
        let status = [Answer::UpdateAccepted, Answer::UpdateRejected];
        lan.chain(status.iter().map(|answer| answer.topic(thing, STATUS_SHADOW))).collect()
    }
}
