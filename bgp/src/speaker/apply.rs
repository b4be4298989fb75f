// SPDX-License-Identifier: MIT OR Apache-2.0
//! A new configuration, live: only what changed is disturbed.

use std::time::Instant;

use super::core::{Speaker, import_rules};
use super::import::facts;
use crate::config::{ConfigDiff, ConfigError, SpeakerConfig};
use crate::rib::{Path, SourceId};
use crate::session::DownReason;
use crate::types::Prefix;
use crate::wire::{Notification, NotificationCode};

impl Speaker {
    /// Puts a configuration in force.
    ///
    /// # Errors
    /// If it contradicts itself; then nothing has changed.
    pub fn apply_config(
        &mut self,
        config: SpeakerConfig,
        now: Instant,
    ) -> Result<ConfigDiff, ConfigError> {
        config.validate()?;
        let diff = self.config.diff(&config);
        let removed = Notification::new(NotificationCode::PEER_DECONFIGURED);
        for name in &diff.removed {
            self.end_peer(name, DownReason::PeerRemoved, &removed, now);
        }
        let changed = Notification::new(NotificationCode::OTHER_CONFIGURATION_CHANGE);
        for name in &diff.reset {
            self.end_peer(name, DownReason::ConfigChanged, &changed, now);
        }
        let more_paths = self.config.max_paths != config.max_paths;
        self.passes_on = config.passes_on();
        self.config = config;
        for name in diff.added.iter().chain(&diff.reset) {
            let peer = self.config.peers.iter().find(|peer| peer.name == *name).cloned();
            if let Some(peer) = peer {
                self.add_peer(&peer, now);
            }
        }
        for name in &diff.changed {
            self.change_peer(name, now);
        }
        if diff.import || diff.identity {
            self.reimport();
        }
        if more_paths || diff.identity {
            self.rib.mark_all();
        }
        self.update_sync(now);
        Ok(diff)
    }

    fn end_peer(
        &mut self,
        name: &str,
        reason: DownReason,
        notification: &Notification,
        now: Instant,
    ) {
        let Some(slot) = self.slot_by_name(name) else { return };
        if let Some(peer) = self.peers[slot].as_mut() {
            peer.session.stop(reason, Some(notification), now);
        }
        self.settle(slot);
        self.remove_peer(slot);
    }

    /// Takes over what needs no new session, and tells the peer what it changes.
    fn change_peer(&mut self, name: &str, now: Instant) {
        let config = self.config.peers.iter().find(|peer| peer.name == name).cloned();
        let slot = self.slot_by_name(name);
        let (Some(config), Some(slot)) = (config, slot) else { return };
        let Some(peer) = self.peers[slot].as_mut() else { return };
        peer.session.reconfigure(config, now);
        self.check_limit(slot, now);
        self.tell_again(slot, None);
        self.settle(slot);
    }

    /// Judges every learned path by the rules now in force.
    fn reimport(&mut self) {
        self.import = import_rules(&self.config);
        let Self { rib, import, config, peers, .. } = self;
        let allowed = |source: SourceId| {
            let peer = peers.get(source.slot()?)?.as_ref()?;
            Some(peer.session.config().allow_own_as)
        };
        rib.reimport(|prefix: Prefix, path: &Path| {
            if path.source == SourceId::LOCAL {
                return Ok(());
            }
            let allowed = allowed(path.source).unwrap_or(0);
            import.check_attrs(facts(&path.attrs, config, allowed))?;
            import.check_prefix(prefix)
        });
    }
}
