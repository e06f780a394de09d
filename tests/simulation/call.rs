//! The plan of one call: what its parties intend to do, chosen before it starts.

use crate::random::Random;
use crate::truth::{CallId, EndId};

/// The plan of a call, or of another request outside a dialog.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) method: &'static str,
    /// What the server answers; nothing when it stays silent.
    pub(crate) answers: Vec<Answer>,
    /// It asks for credentials first.
    pub(crate) challenge: Option<u16>,
    /// The caller cancels after so long.
    pub(crate) cancel_after: Option<u64>,
    /// Requests in the early dialog.
    pub(crate) early: Vec<Step>,
    /// Requests in the dialog, the last of them ends it.
    pub(crate) steps: Vec<Step>,
    /// The request carries a Route of somebody else.
    pub(crate) has_foreign_route: bool,
    /// The server notifies before it answers.
    pub(crate) notifies_first: bool,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    /// Since the one before.
    pub(crate) after: u64,
    pub(crate) code: u16,
    /// Which of the branches behind the server: each has a To tag of its own.
    pub(crate) fork: u8,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    pub(crate) is_by_caller: bool,
    pub(crate) method: &'static str,
    /// Since the end of the one before.
    pub(crate) gap: u64,
}

/// How far it is.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) plan: Plan,
    pub(crate) caller: EndId,
    pub(crate) call_id: String,
    pub(crate) tag: String,
    pub(crate) cseq: u32,
    pub(crate) is_authorized: bool,
    pub(crate) outcome: Outcome,
    /// Caller's dialog, server, server's dialog.
    pub(crate) dialog: Option<(usize, EndId, usize)>,
    /// The same of the early dialog.
    pub(crate) early_dialog: Option<(usize, EndId, usize)>,
    pub(crate) has_begun_early: bool,
    pub(crate) early_at: usize,
    pub(crate) steps_at: usize,
    pub(crate) has_begun_steps: bool,
    /// Requests in the dialog that got no 2xx.
    pub(crate) failed_steps: Vec<(&'static str, u16)>,
    /// The server leaves out our Via parameter and the caller's Via has nothing to go by instead.
    pub(crate) is_unanswerable: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Outcome {
    Pending,
    Final(u16),
    /// By the caller's own timer.
    TimedOut,
}

impl Call {
    pub(crate) fn new(number: CallId, caller: EndId, plan: Plan) -> Self {
        Self {
            plan,
            caller,
            call_id: format!("call-{number}@sim"),
            tag: format!("Tag{number}c"),
            cseq: 1,
            is_authorized: false,
            outcome: Outcome::Pending,
            dialog: None,
            early_dialog: None,
            has_begun_early: false,
            early_at: 0,
            steps_at: 0,
            has_begun_steps: false,
            failed_steps: Vec::new(),
            is_unanswerable: false,
        }
    }
}

impl Plan {
    /// A plan for a caller that follows Record-Route, or not: then only it speaks in the dialog.
    pub(crate) fn random(random: &mut Random, follows_record_route: bool) -> Self {
        let method = *random.pick(&[
            "INVITE",
            "INVITE",
            "INVITE",
            "INVITE",
            "INVITE",
            "INVITE",
            "SUBSCRIBE",
            "REFER",
            "REGISTER",
            "OPTIONS",
            "MESSAGE",
            "PUBLISH",
            "FROBNICATE",
            "PING",
        ]);
        let mut plan = Self {
            method,
            answers: Vec::new(),
            challenge: random.chance(15).then(|| *random.pick(&[401, 407])),
            cancel_after: None,
            early: Vec::new(),
            steps: Vec::new(),
            has_foreign_route: random.chance(8),
            notifies_first: false,
        };
        match method {
            "INVITE" => plan.make_invite(random, follows_record_route),
            "SUBSCRIBE" | "REFER" => {
                plan.answer(random, if method == "REFER" { 202 } else { 200 });
                plan.notifies_first = follows_record_route && random.chance(40);
                for _ in 0..random.below(3) {
                    plan.step(random, false, "NOTIFY");
                }
                if method == "SUBSCRIBE" {
                    plan.step(random, true, "SUBSCRIBE");
                }
                if follows_record_route {
                    plan.step(random, false, "NOTIFY");
                }
            }
            // A question to the relay itself.
            "PING" => plan.challenge = None,
            _ if random.chance(8) => {}
            _ => {
                let code = *random.pick(&[200, 200, 200, 404, 503]);
                plan.answer(random, code);
            }
        }
        if !follows_record_route {
            plan.steps.retain(|step| step.is_by_caller);
            plan.early.retain(|step| step.is_by_caller);
        }
        plan
    }

    fn make_invite(&mut self, random: &mut Random, follows_record_route: bool) {
        for code in [100, 180, 183] {
            if random.chance(50) {
                self.answer(random, code);
            }
        }
        let is_forked = random.chance(12);
        if is_forked {
            for (number, answer) in self.answers.iter_mut().enumerate() {
                answer.fork = (number % 2) as u8;
            }
        }
        if random.chance(15) {
            self.cancel_after = Some(random.between(1, 2_500));
        }
        if self.answers.iter().any(|answer| answer.code > 100) && random.chance(40) {
            for _ in 0..=random.below(2) {
                let method = *random.pick(&["PRACK", "UPDATE", "INFO"]);
                let is_by_caller = method == "PRACK" || random.chance(60);
                self.early.push(Step { is_by_caller, method, gap: random.between(1, 60) });
            }
        }
        if random.chance(7) && self.answers.is_empty() {
            return;
        }
        if random.chance(25) {
            let code = *random.pick(&[302, 404, 486, 503, 603]);
            self.answer(random, code);
            return;
        }
        self.answer(random, 200);
        if is_forked && random.chance(50) {
            self.answer(random, 200);
            self.answers.last_mut().expect("just pushed").fork = 1;
        }
        for _ in 0..random.below(3) {
            let method = *random.pick(&["INVITE", "UPDATE", "NOTIFY", "REFER", "INFO", "MESSAGE"]);
            let is_by_caller = random.chance(50) || !follows_record_route;
            self.step(random, is_by_caller, method);
        }
        let is_by_caller = random.chance(60) || !follows_record_route;
        self.step(random, is_by_caller, "BYE");
    }

    fn answer(&mut self, random: &mut Random, code: u16) {
        let after = match random.below(12) {
            0 => random.between(400, 3_000),
            // Longer than the caller's timer only after a word that it is on its way.
            1 if self.method == "INVITE" && !self.answers.is_empty() => {
                random.between(5_000, 100_000)
            }
            _ => random.between(1, 80),
        };
        self.answers.push(Answer { after, code, fork: 0 });
    }

    fn step(&mut self, random: &mut Random, is_by_caller: bool, method: &'static str) {
        let gap = match random.below(20) {
            0 => random.between(200_000, 400_000),
            1 => random.between(1_000, 120_000),
            _ => random.between(1, 200),
        };
        self.steps.push(Step { is_by_caller, method, gap });
    }
}
