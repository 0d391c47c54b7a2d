package dns

import (
	"sync/atomic"

	"github.com/miekg/dns"
)

// QueryCounts counts queries by how they were answered.
type QueryCounts struct {
	Answered  uint64 // from the records of the networks, also that a name has none of the type
	Absent    uint64 // that there is no such name
	Forwarded uint64 // as another name server did
	Failed    uint64 // that no name server answered, or that there is none
	Refused   uint64 // that the query makes no sense, or asks for what is not done here
	Limited   uint64 // that there are too many at once
}

// queryCounter counts queries as they are answered.
type queryCounter struct {
	answered, absent, forwarded, failed, refused, limited atomic.Uint64
}

// Queries returns how the queries since the server was made were answered.
func (s *Server) Queries() QueryCounts {
	c := &s.queries
	return QueryCounts{
		Answered: c.answered.Load(), Absent: c.absent.Load(), Forwarded: c.forwarded.Load(),
		Failed: c.failed.Load(), Refused: c.refused.Load(), Limited: c.limited.Load(),
	}
}

// countReply counts a reply of this server's own; nil is none.
func (c *queryCounter) countReply(reply []byte) {
	if len(reply) < headerLen {
		return
	}
	switch reply[3] & maskRcode {
	case dns.RcodeSuccess:
		c.answered.Add(1)
	case dns.RcodeNameError:
		c.absent.Add(1)
	case dns.RcodeServerFailure:
		c.failed.Add(1)
	default:
		c.refused.Add(1)
	}
}

func (c *queryCounter) countForwarded(reply []byte) {
	if len(reply) >= headerLen && reply[3]&maskRcode == dns.RcodeServerFailure {
		c.failed.Add(1)
		return
	}
	c.forwarded.Add(1)
}
