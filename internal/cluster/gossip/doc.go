// Package gossip lets hosts find each other and share what they have, without a
// server. It is a cluster.Source over hashicorp/memberlist.
//
// Each host owns one record: its attachments, with a version that only it
// raises. What changes goes straight to all members, as a delta in one packet
// if it fits. The rest is repair for what got lost: gossip of digests (name and
// version, no state), a comparison of hashes with a random member each second,
// and memberlist's own push-pull, which carries digests too. Whoever sees a
// newer digest asks its sender for the record over a stream.
//
// Time is only ever measured, never compared between hosts: versions count, and
// ages are durations. So a clock that jumps changes nothing.
package gossip
