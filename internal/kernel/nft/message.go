package nft

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/nlmsg"
)

// Of linux/netfilter/nf_tables.h, where package unix lacks them.
const (
	tableUserdata   = 6  // NFTA_TABLE_USERDATA
	setUserdata     = 13 // NFTA_SET_USERDATA
	setDescConcat   = 2  // NFTA_SET_DESC_CONCAT
	setFieldLen     = 1  // NFTA_SET_FIELD_LEN
	setInterval     = 0x4
	setMap          = 0x8
	setConcat       = 0x80
	elemKeyEnd      = 10 // NFTA_SET_ELEM_KEY_END
	elemIntervalEnd = 1  // NFT_SET_ELEM_INTERVAL_END
	metaIIFKind     = 26 // NFT_META_IIFKIND

	// Types of the comments in the user data, which nft shows (libnftnl, udata.h).
	udComment    = 0
	udSetComment = 7
)

// genHeader is the length of a struct nfgenmsg.
const genHeader = 4

func familyNumber(f kernel.Family) byte {
	switch f {
	case kernel.FamilyBridge:
		return unix.NFPROTO_BRIDGE
	case kernel.FamilyNetdev:
		return unix.NFPROTO_NETDEV
	}
	return unix.NFPROTO_INET
}

// request begins a message about a table.
func (c *Conn) request(typ uint16, flags uint16, family kernel.Family) *nlmsg.Builder {
	c.seq++
	m := new(nlmsg.Builder)
	m.Header(unix.NFNL_SUBSYS_NFTABLES<<8|typ, unix.NLM_F_REQUEST|flags, c.seq)
	m.Raw(familyNumber(family), unix.NFNETLINK_V0, 0, 0)
	return m
}

// finish sets the length of a message made by request.
func finish(m *nlmsg.Builder) *nlmsg.Builder {
	m.End(0)
	return m
}

// batch is a transaction.
type batch struct {
	nlmsg.Builder
	seq   uint32
	first uint32   // number of the first message
	says  []string // what each message does, for errors
	start int      // of the last message
}

func (c *Conn) newBatch() *batch {
	b := &batch{seq: c.seq, first: c.seq + 2}
	b.marker(unix.NFNL_MSG_BATCH_BEGIN)
	return b
}

func (b *batch) marker(typ uint16) {
	b.seq++
	start := b.Header(typ, unix.NLM_F_REQUEST, b.seq)
	b.Raw(unix.AF_UNSPEC, unix.NFNETLINK_V0)
	b.Raw(binary.BigEndian.AppendUint16(nil, unix.NFNL_SUBSYS_NFTABLES)...)
	b.End(start)
}

// add appends a message; says is its line in an error.
func (b *batch) add(says string, typ, flags uint16, family kernel.Family, fill func()) {
	b.seq++
	b.says = append(b.says, says)
	b.start = b.Header(unix.NFNL_SUBSYS_NFTABLES<<8|typ, unix.NLM_F_REQUEST|flags, b.seq)
	b.Raw(familyNumber(family), unix.NFNETLINK_V0, 0, 0)
	fill()
	b.End(b.start)
}

// commit carries the transaction out, all or nothing. The error says which
// message was the first that the kernel refused.
func (c *Conn) commit(b *batch) (says string, err error) {
	if len(b.says) == 0 {
		return "", nil
	}
	b.marker(unix.NFNL_MSG_BATCH_END)
	c.seq = b.seq
	if err := c.send(b.Message()); err != nil {
		return "", err
	}
	// No message asks for an answer: silence is success, and the send has
	// returned when the transaction is through.
	_, failed, err := c.receive()
	if err != nil || failed == nil {
		return "", err
	}
	if i := int(failed.seq - b.first); i >= 0 && i < len(b.says) {
		says = b.says[i]
	}
	return says, failed.err
}

// comment is user data that nft shows as a comment.
func comment(typ byte, text string) []byte {
	text = text[:min(len(text), 127)] // what nft itself allows (NFTNL_UDATA_COMMENT_MAXLEN)
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
			return nlmsg.Text(b[2 : 2+n])
		}
		b = b[2+n:]
	}
	return ""
}
