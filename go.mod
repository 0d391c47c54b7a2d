module vxlan-driver

go 1.26.0

require (
	github.com/vishvananda/netlink v1.3.2-0.20260629151558-4e35dc940f49
	github.com/vishvananda/netns v0.0.5
	golang.org/x/sys v0.49.0
)
