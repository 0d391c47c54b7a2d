// Package network says what a KindVXLAN network, the host it is used on and an
// endpoint are, and refuses what cannot work.
//
// It reads the JSON that Podman and netavark hand to the plugin. Raw strings stay
// inside: what leaves this package holds parsed values and is valid. It is pure;
// what it needs to know of the host comes in through the Host interface.
package network
