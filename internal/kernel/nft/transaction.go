package nft

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/netlink"
)

// Transaction collects changes of tables that Commit makes, all or none.
type Transaction struct {
	messages netlink.Batch
	steps    []string // what each message does, for errors
}

// NewTransaction begins a transaction.
func NewTransaction() *Transaction {
	tx := new(Transaction)
	tx.addMarker(unix.NFNL_MSG_BATCH_BEGIN)
	return tx
}

// addMarker appends a message that the transaction begins or ends with.
func (tx *Transaction) addMarker(typ uint16) {
	tx.messages.Message(typ, 0, func() {
		tx.messages.Raw(unix.AF_UNSPEC, unix.NFNETLINK_V0)
		tx.messages.Raw(binary.BigEndian.AppendUint16(nil, unix.NFNL_SUBSYS_NFTABLES)...)
	})
}

// add appends a message, which fill completes. Step says in an error what it does.
func (tx *Transaction) add(step string, typ, flags uint16, family kernel.Family, fill func(*netlink.Builder)) {
	tx.steps = append(tx.steps, step)
	tx.messages.Message(messageType(typ), flags, func() {
		tx.messages.Raw(nfgenmsg(family)...)
		fill(&tx.messages.Builder)
	})
}

// Commit makes the changes, all or none. With an error comes what the first message that the kernel
// refused was to do.
func (c *Conn) Commit(tx *Transaction) (refused string, err error) {
	if len(tx.steps) == 0 {
		return "", nil
	}
	tx.addMarker(unix.NFNL_MSG_BATCH_END)
	refusals, err := c.socket.ExecuteBatch(&tx.messages)
	if err != nil || len(refusals) == 0 {
		return "", err
	}
	first := refusals[0]
	if step := first.Index - 1; step >= 0 && step < len(tx.steps) {
		refused = tx.steps[step]
	}
	return refused, first.Err
}

// AddTable appends what makes the table with its sets, chains and rules.
func (tx *Transaction) AddTable(t Table) { tx.addTable(t, t.Comment()) }

func (tx *Transaction) addTable(t Table, text string) {
	tx.add("add table "+string(t.Family), unix.NFT_MSG_NEWTABLE, unix.NLM_F_CREATE, t.Family, func(m *netlink.Builder) {
		m.Text(unix.NFTA_TABLE_NAME, t.Name)
		m.Bytes(tableUserdata, commentUserdata(udComment, text))
	})
	for i, s := range t.Sets {
		s.appendTo(tx, t.Name, uint32(i+1))
	}
	tx.AddChains(t, t.Chains...)
}

// DeleteTable appends what removes the table, if it is there: adding it first makes the deletion
// valid.
func (tx *Transaction) DeleteTable(t Table) {
	name := func(m *netlink.Builder) { m.Text(unix.NFTA_TABLE_NAME, t.Name) }
	tx.add("add table "+string(t.Family), unix.NFT_MSG_NEWTABLE, unix.NLM_F_CREATE, t.Family, name)
	tx.add("delete table "+string(t.Family), unix.NFT_MSG_DELTABLE, 0, t.Family, name)
}

// AddChains appends what makes chains of a table with their rules. All chains come first, as rules
// jump to them.
func (tx *Transaction) AddChains(t Table, chains ...Chain) {
	for _, c := range chains {
		c.appendTo(tx, t)
	}
	for _, c := range chains {
		for _, r := range c.Rules {
			r.appendTo(tx, t, c.Name)
		}
	}
}

// DeleteChain appends what removes a chain with its rules.
func (tx *Transaction) DeleteChain(t Table, chain string) {
	tx.add("delete chain "+chain, unix.NFT_MSG_DELCHAIN, 0, t.Family, func(m *netlink.Builder) {
		m.Text(unix.NFTA_CHAIN_TABLE, t.Name)
		m.Text(unix.NFTA_CHAIN_NAME, chain)
	})
}

// AddElements appends what adds elements to sets of the tables.
func (tx *Transaction) AddElements(tables []Table, elements []kernel.Element) error {
	return tx.appendElements(tables, unix.NFT_MSG_NEWSETELEM, unix.NLM_F_CREATE, elements)
}

// DeleteElements appends what deletes elements, which must be there.
func (tx *Transaction) DeleteElements(tables []Table, elements []kernel.Element) error {
	return tx.appendElements(tables, unix.NFT_MSG_DELSETELEM, 0, elements)
}
