package nft

import (
	"bytes"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/nlmsg"
)

// chunk is how many elements a message has at most: the list is one attribute,
// and an element takes up to 120 bytes besides its comment.
const chunk = 250

// elements appends a message for each run of elements of one set of a table.
func (b *batch) elements(table string, typ, flags uint16, elements []kernel.Element) error {
	for len(elements) > 0 {
		s, ok := find(elements[0].Set)
		if !ok {
			return fmt.Errorf("no set is called %q", elements[0].Set.Name)
		}
		n := slices.IndexFunc(elements, func(e kernel.Element) bool { return e.Set != s.Set })
		if n < 0 {
			n = len(elements)
		}
		n = min(n, chunk)
		b.add("elements of "+s.Name, typ, flags, s.Family, func() { s.list(&b.Builder, table, elements[:n]) })
		elements = elements[n:]
	}
	return nil
}

func (s set) list(m *nlmsg.Builder, table string, elements []kernel.Element) {
	m.Text(unix.NFTA_SET_ELEM_LIST_TABLE, table)
	m.Text(unix.NFTA_SET_ELEM_LIST_SET, s.Name)
	m.Nest(unix.NFTA_SET_ELEM_LIST_ELEMENTS, func() {
		for _, e := range elements {
			s.element(m, e)
		}
	})
}

// element appends an element. Of a range of one part the kernel wants two: the
// first key, and the one after the last.
func (s set) element(m *nlmsg.Builder, e kernel.Element) {
	m.Nest(unix.NFTA_LIST_ELEM, func() {
		value(m, unix.NFTA_SET_ELEM_KEY, e.Key.First())
		if s.flags()&setConcat != 0 {
			value(m, elemKeyEnd, e.Key.Last())
		}
		if e.Value.Chain() != "" {
			m.Nest(unix.NFTA_SET_ELEM_DATA, func() { appendVerdict(m, unix.NFT_JUMP, e.Value.Chain()) })
		} else if !e.Value.IsZero() {
			value(m, unix.NFTA_SET_ELEM_DATA, e.Value.First())
		}
		if e.Comment != "" {
			m.Bytes(unix.NFTA_SET_ELEM_USERDATA, comment(udComment, e.Comment))
		}
	})
	if !s.ranges || s.flags()&setConcat != 0 {
		return
	}
	if end, ok := after(e.Key.Last()); ok {
		m.Nest(unix.NFTA_LIST_ELEM, func() {
			value(m, unix.NFTA_SET_ELEM_KEY, end)
			m.U32BE(unix.NFTA_SET_ELEM_FLAGS, elemIntervalEnd)
		})
	}
}

func value(m *nlmsg.Builder, typ uint16, data []byte) {
	m.Nest(typ, func() { m.Bytes(unix.NFTA_DATA_VALUE, data) })
}

// after returns the next key, unless there is none.
func after(key []byte) (next []byte, ok bool) {
	next = slices.Clone(key)
	for i := len(next) - 1; i >= 0; i-- {
		if next[i]++; next[i] != 0 {
			return next, true
		}
	}
	return nil, false
}

// found is an element as the kernel has it.
type found struct {
	key   []byte
	value []byte
	chain string
	note  string
}

// is tells whether it has the value of e.
func (f found) is(e kernel.Element) bool {
	return bytes.Equal(f.value, e.Value.First()) && f.chain == e.Value.Chain()
}

// lookUp asks for the element with the key of e.
func (c *Conn) lookUp(table string, e kernel.Element) (f found, ok bool, err error) {
	s, known := find(e.Set)
	if !known {
		return f, false, fmt.Errorf("no set is called %q", e.Set.Name)
	}
	m := c.request(unix.NFT_MSG_GETSETELEM, 0, s.Family)
	s.list(m, table, []kernel.Element{{Key: e.Key}})
	replies, err := c.get(finish(m))
	if isMissing(err) {
		return f, false, nil
	}
	if err != nil {
		return f, false, fmt.Errorf("look up %s in %s: %w", e.Key, s.Name, err)
	}
	for _, f := range parseElements(replies) {
		return f, true, nil
	}
	return f, false, nil
}

// list returns all elements of a table's set.
func (c *Conn) list(table string, of kernel.Set) ([]found, error) {
	replies, err := c.dump(func() *nlmsg.Builder {
		m := c.request(unix.NFT_MSG_GETSETELEM, unix.NLM_F_DUMP, of.Family)
		m.Text(unix.NFTA_SET_ELEM_LIST_TABLE, table)
		m.Text(unix.NFTA_SET_ELEM_LIST_SET, of.Name)
		return finish(m)
	})
	if err != nil {
		return nil, fmt.Errorf("read set %s: %w", of.Name, err)
	}
	return parseElements(replies), nil
}

func parseElements(replies []reply) (all []found) {
	for _, r := range replies {
		for typ, list := range nlmsg.Attrs(r.body) {
			if typ != unix.NFTA_SET_ELEM_LIST_ELEMENTS {
				continue
			}
			for _, one := range nlmsg.Attrs(list) {
				all = append(all, parseElement(one))
			}
		}
	}
	return all
}

func parseElement(b []byte) (f found) {
	for typ, b := range nlmsg.Attrs(b) {
		switch typ {
		case unix.NFTA_SET_ELEM_KEY:
			f.key = nlmsg.Find(b, unix.NFTA_DATA_VALUE)
		case unix.NFTA_SET_ELEM_DATA:
			f.parseValue(b)
		case unix.NFTA_SET_ELEM_USERDATA:
			f.note = parseComment(b)
		}
	}
	return f
}

func (f *found) parseValue(b []byte) {
	for typ, b := range nlmsg.Attrs(b) {
		if typ == unix.NFTA_DATA_VALUE {
			f.value = b
		}
		if typ != unix.NFTA_DATA_VERDICT {
			continue
		}
		for typ, b := range nlmsg.Attrs(b) {
			if typ == unix.NFTA_VERDICT_CHAIN {
				f.chain = nlmsg.Text(b)
			}
		}
	}
}
