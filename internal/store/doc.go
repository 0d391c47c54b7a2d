// Package store keeps what the kernel cannot tell: which endpoints of which networks this host has,
// with their names and port mappings.
//
// It writes one JSON file an endpoint below /run/vxlan, under a lock that all of this project's
// processes take before they touch the kernel:
//
//	/run/vxlan/lock
//	/run/vxlan/networks/<network id>/network.json
//	/run/vxlan/networks/<network id>/vtep.json
//	/run/vxlan/networks/<network id>/dns-port
//	/run/vxlan/networks/<network id>/peers.json
//	/run/vxlan/networks/<network id>/endpoints/<container id>.json
//	/run/vxlan/networks/<network id>/endpoints/<container id>.json.publishes, .named
//
// An endpoint's file is written before the kernel is touched, and removed after the kernel is
// clean. So everything in the kernel is also in a file. A reboot empties /run and the kernel alike.
package store
