// Package netlink speaks netlink, the kernel's protocol for rtnetlink and nfnetlink: it builds and reads messages and
// their attributes (include/uapi/linux/netlink.h), carries requests to the kernel, and subscribes to what it reports.
//
// The kernel works a request off while it is sent, so all answers are there when the send returns and no request
// waits. Requests that belong together go in one system call.
//
// It is written by hand. With mdlayher/netlink 1.11.2 the plugin has 5,038,242 bytes instead of 4,866,210, more than the
// 5,000,000 that it may have, and each request takes two system calls to receive instead of one: a look at the length
// comes first. (November 2026; both start in 1.3 ms.) An error in a batch comes without the number of its message, so
// that the entry at fault could not be named.
package netlink
