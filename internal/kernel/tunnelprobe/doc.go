// Package tunnelprobe sends frames through a VXLAN tunnel to other hosts' agents, and answers
// theirs.
//
// A frame takes the way of the containers' frames: through the VXLAN device, its UDP port, the
// underlay and the members' rules. docs/design/tunnel-probe.md has the format.
package tunnelprobe
