// SPDX-License-Identifier: MIT OR Apache-2.0
use super::*;

fn keys<K: Copy, V>(changes: &Changes<K, V>) -> Vec<K> {
    changes.entries.iter().map(|(key, _)| *key).collect()
}

#[test]
fn latest_value_per_key_in_order_of_first_publication() {
    let mailbox = Mailbox::new();
    mailbox.publish(2, Some("old"), Revision(1));
    mailbox.publish(1, Some("one"), Revision(2));
    mailbox.publish(2, Some("new"), Revision(3));
    mailbox.publish(1, None, Revision(4));
    assert_eq!(mailbox.len(), 2);
    let changes = mailbox.take();
    let change = |revision, value| Change { revision: Revision(revision), value };
    assert_eq!(changes.entries, [(2, change(3, Some("new"))), (1, change(4, None))]);
    assert!(mailbox.is_empty());
    assert!(mailbox.take().entries.is_empty());
}

#[test]
fn a_part_is_taken_from_the_front_and_churn_does_not_push_back() {
    let mailbox = Mailbox::new();
    (0..5).for_each(|key| mailbox.publish(key, Some(0), Revision(1)));
    assert_eq!(keys(&mailbox.take_up_to(2)), [0, 1]);
    mailbox.publish(0, Some(1), Revision(2));
    mailbox.publish(3, Some(3), Revision(2));
    let part = mailbox.take_up_to(2);
    assert_eq!((keys(&part), part.entries[1].1.value), (vec![2, 3], Some(3)));
    let rest = mailbox.take_up_to(9);
    assert_eq!(keys(&rest), [4, 0]);
    assert_eq!(rest.entries[1].1.value, Some(1));
}

#[test]
fn completeness_is_not_told_before_the_keys_it_covers() {
    let mailbox = Mailbox::new();
    (0..3).for_each(|key| mailbox.publish(key, Some(()), Revision(1)));
    mailbox.set_completeness(Completeness::Complete);
    assert_eq!(mailbox.take_up_to(2).completeness, Completeness::Loading);
    assert_eq!(mailbox.take_up_to(2).completeness, Completeness::Complete);
    mailbox.publish(1, None, Revision(2));
    mailbox.publish(2, None, Revision(2));
    assert_eq!(mailbox.take_up_to(1).completeness, Completeness::Complete, "told before");
    mailbox.set_completeness(Completeness::Loading);
    assert_eq!(mailbox.take_up_to(0).completeness, Completeness::Loading);
}

#[cfg(feature = "rt")]
mod waiting {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn is_ready(future: impl Future) -> bool {
        pin!(future).poll(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    #[test]
    fn changed_returns_at_once_if_there_is_news() {
        let mailbox = Mailbox::new();
        assert!(!is_ready(mailbox.changed()));
        mailbox.publish(1, Some(()), Revision(1));
        assert!(is_ready(mailbox.changed()));
        assert!(is_ready(mailbox.changed()), "waiting takes nothing");
        mailbox.take();
        assert!(!is_ready(mailbox.changed()));
        mailbox.set_completeness(Completeness::Complete);
        assert!(is_ready(mailbox.changed()));
        mailbox.take();
        mailbox.set_completeness(Completeness::Complete);
        assert!(!is_ready(mailbox.changed()), "not new");
    }

    #[tokio::test(start_paused = true)]
    async fn changed_wakes_every_waiter() {
        let mailbox = Mailbox::new();
        let mut waiters = tokio::task::JoinSet::new();
        for news in ["publication", "completeness"] {
            for _ in 0..3 {
                let mailbox = mailbox.clone();
                waiters.spawn(async move { mailbox.changed().await });
            }
            tokio::task::yield_now().await;
            match news {
                "publication" => mailbox.publish(1, Some(()), Revision(1)),
                _ => mailbox.set_completeness(Completeness::Complete),
            }
            let all = async { while waiters.join_next().await.is_some() {} };
            tokio::time::timeout(std::time::Duration::from_secs(5), all).await.expect(news);
            mailbox.take();
        }
    }

    #[test]
    fn a_cancelled_wait_loses_no_wake_up() {
        let mailbox = Mailbox::new();
        {
            let mut cancelled = pin!(mailbox.changed());
            let mut context = Context::from_waker(Waker::noop());
            assert_eq!(cancelled.as_mut().poll(&mut context), Poll::Pending);
            mailbox.publish(1, Some(()), Revision(1));
            // Dropped although it was woken.
        }
        assert!(is_ready(mailbox.changed()));
    }

    #[test]
    fn nothing_is_missed_between_threads() {
        let (there, back) = (Mailbox::new(), Mailbox::new());
        let (there_too, back_too) = (there.clone(), back.clone());
        let echo = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().build();
            runtime.expect("runtime").block_on(async {
                for _ in 0..2000 {
                    there_too.changed().await;
                    for (key, change) in there_too.take().entries {
                        back_too.publish(key, change.value, change.revision);
                    }
                }
            });
        });
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        runtime.expect("runtime").block_on(async {
            for round in 0..2000 {
                there.publish(0, Some(round), Revision(round));
                back.changed().await;
                assert_eq!(back.take().entries[0].1.value, Some(round));
            }
        });
        echo.join().expect("echo ends");
    }
}
