//! Rounds of work on things that are shared out: in each, the same is done to every share, and what
//! comes of it decides what the next one does.
//!
//! A round here is some tens of microseconds, less than it takes to wake a thread. So threads that
//! help wait awake; and whoever leads takes every share that nobody has begun, so that nothing waits
//! for a thread that does not run.

use alloc::vec::Vec;

/// Does a round of its own.
pub(super) fn each<T: Send, O: Send>(
    shares: Vec<T>,
    step: impl Fn(&mut T) -> O + Sync,
) -> (Vec<T>, Vec<O>) {
    in_rounds(shares, |share, &()| step(share), |round| round(()))
}

/// How many shares are worth having.
pub(super) fn shares() -> usize {
    #[cfg(feature = "rayon")]
    return rayon::current_num_threads();
    #[cfg(not(feature = "rayon"))]
    1
}

/// Calls `lead` with a function that does a round: `step` with each share, and gives what they gave.
/// Gives the shares back, and what `lead` gave.
#[cfg(not(feature = "rayon"))]
pub(super) fn in_rounds<T, J, O, R>(
    mut shares: Vec<T>,
    step: impl Fn(&mut T, &J) -> O,
    lead: impl FnOnce(&mut dyn FnMut(J) -> Vec<O>) -> R,
) -> (Vec<T>, R) {
    let result = lead(&mut |job| shares.iter_mut().map(|share| step(share, &job)).collect());
    (shares, result)
}

#[cfg(feature = "rayon")]
pub(super) use threads::in_rounds;

#[cfg(feature = "rayon")]
mod threads {
    extern crate std;

    use alloc::sync::Arc;
    use alloc::vec::Vec;
    use core::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

    /// The number of a round that never comes: there are no more.
    const END: usize = usize::MAX;

    /// How often a thread that waits looks again before it lets others run.
    const LOOKS: u32 = 200;

    struct Rounds<T, J, O> {
        shares: Vec<Mutex<Share<T, O>>>,
        /// What is to be done, and in which round: the first is 1.
        job: Mutex<Option<(usize, Arc<J>)>>,
        round: AtomicUsize,
    }

    struct Share<T, O> {
        share: T,
        /// The last round that was done with it, and what it gave.
        round: usize,
        given: Option<O>,
    }

    /// As without threads, but with as many as there are shares, if that many are idle.
    pub(in super::super) fn in_rounds<T: Send, J: Send + Sync, O: Send, R>(
        shares: Vec<T>,
        step: impl Fn(&mut T, &J) -> O + Sync,
        lead: impl FnOnce(&mut dyn FnMut(J) -> Vec<O>) -> R,
    ) -> (Vec<T>, R) {
        let helpers = shares.len().min(rayon::current_num_threads());
        let share = |share| {
            Mutex::new(Share {
                share,
                round: 0,
                given: None,
            })
        };
        let rounds = Rounds {
            shares: shares.into_iter().map(share).collect(),
            job: Mutex::new(None),
            round: AtomicUsize::new(0),
        };
        let result = rayon::in_place_scope(|scope| {
            for _ in 1..helpers {
                scope.spawn(|_| rounds.help(&step));
            }
            let _end = End(&rounds.round);
            lead(&mut |job| rounds.round(job, &step))
        });
        let shares = rounds.shares.into_iter();
        let shares = shares.map(|share| share.into_inner().unwrap_or_else(PoisonError::into_inner));
        (shares.map(|share| share.share).collect(), result)
    }

    /// Lets those who help go home, also after a panic.
    struct End<'r>(&'r AtomicUsize);

    impl Drop for End<'_> {
        fn drop(&mut self) {
            self.0.store(END, Ordering::Release);
        }
    }

    impl<T, J, O> Rounds<T, J, O> {
        /// Does a round.
        fn round(&self, job: J, step: &impl Fn(&mut T, &J) -> O) -> Vec<O> {
            let number = self.round.load(Ordering::Relaxed) + 1;
            let job = Arc::new(job);
            *lock(&self.job) = Some((number, job.clone()));
            self.round.store(number, Ordering::Release);
            for share in &self.shares {
                try_step(share, number, job.as_ref(), step);
            }
            let mut looks = 0;
            let given = self.shares.iter().filter_map(|share| {
                while !try_step(share, number, job.as_ref(), step) {
                    wait(&mut looks);
                }
                lock(share).given.take()
            });
            given.collect()
        }

        /// Helps with every round, until there are no more.
        fn help(&self, step: &impl Fn(&mut T, &J) -> O) {
            let mut last = 0;
            let mut looks = 0;
            loop {
                match self.round.load(Ordering::Acquire) {
                    END => return,
                    round if round == last => {
                        wait(&mut looks);
                        continue;
                    }
                    round => last = round,
                }
                let job = lock(&self.job).clone();
                if let Some((number, job)) = job {
                    // From the other end than who leads.
                    for share in self.shares.iter().rev() {
                        try_step(share, number, job.as_ref(), step);
                    }
                }
            }
        }
    }

    /// Does a step unless somebody is at it; whether it is done.
    fn try_step<T, J, O>(
        share: &Mutex<Share<T, O>>,
        number: usize,
        job: &J,
        step: &impl Fn(&mut T, &J) -> O,
    ) -> bool {
        let mut share = match share.try_lock() {
            Ok(share) => share,
            Err(TryLockError::Poisoned(share)) => share.into_inner(),
            Err(TryLockError::WouldBlock) => return false,
        };
        if share.round < number {
            share.given = Some(step(&mut share.share, job));
            share.round = number;
        }
        true
    }

    fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
        of.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a moment, awake; after many of them others may run.
    fn wait(looks: &mut u32) {
        *looks = looks.wrapping_add(1);
        match looks.is_multiple_of(LOOKS) {
            true => std::thread::yield_now(),
            false => core::hint::spin_loop(),
        }
    }
}
