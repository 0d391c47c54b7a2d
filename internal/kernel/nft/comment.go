package nft

import (
	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/netlink"
)

// Types of the comments in the user data, which nft shows (libnftnl, udata.h).
const (
	udComment    = 0
	udSetComment = 7
)

// commentUserdata is user data that nft shows as a comment.
func commentUserdata(typ byte, text string) []byte {
	text = text[:min(len(text), kernel.MaxCommentLen)]
	b := append([]byte{typ, byte(len(text) + 1)}, text...)
	return append(b, 0)
}

// parseComment reads it back.
func parseComment(b []byte) string {
	for len(b) >= 2 {
		n := int(b[1])
		if len(b) < 2+n {
			return ""
		}
		if b[0] == udComment {
			return netlink.Text(b[2 : 2+n])
		}
		b = b[2+n:]
	}
	return ""
}
