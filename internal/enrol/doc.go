// Package enrol lets a host into a cluster by a token that a person carries there.
//
// A token names the host that issued it, by addresses and by the fingerprint of a certificate made
// for this token alone. So the joining host knows whom it talks to before it sends anything.
// docs/design/decisions/0055-join-tokens.md has the protocol and the reasons.
package enrol
