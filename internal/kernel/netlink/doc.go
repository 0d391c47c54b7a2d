// Package netlink speaks netlink, the kernel's protocol for rtnetlink and nfnetlink: it builds and reads messages and
// their attributes (include/uapi/linux/netlink.h), and carries requests to the kernel.
//
// The kernel works a request off while it is sent, so all answers are there when the send returns and nothing here
// ever waits. Requests that belong together go in one system call.
package netlink
