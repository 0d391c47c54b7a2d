package doctor

import (
	"fmt"
	"time"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/diagnosis"
)

const (
	// A path loses a part of the frames if at least two of a series, and one in fifty, are lost. A
	// single one is lost on a path that is sound, too.
	leastLost     = 2
	leastLostPart = 0.02
	// badLoss is more than a connection bears without being slow.
	badLoss = 0.1
	// seriesAge is how long a series tells how a path is.
	seriesAge = 30 * time.Second
	// leastCounted is how many frames of the last minutes tell something.
	leastCounted = 8
)

func losesSome(c agentapi.SeriesCount) bool {
	return c.Answered > 0 && c.Lost() >= leastLost && float64(c.Lost()) >= leastLostPart*float64(c.Sent)
}

// freshSeries returns what became of the series that was just sent on a path.
func freshSeries(p agentapi.PathStatus) (s agentapi.SeriesStatus, known bool) {
	if p.Series == nil || p.Series.Age > seriesAge {
		return s, false
	}
	return *p.Series, true
}

// isPartial tells whether something passes on a path, and something does not, whatever the size. The
// search for a size that passes then finds one by chance, and single frames that nothing does.
func isPartial(p agentapi.PathStatus) bool {
	s, known := freshSeries(p)
	return known && (losesSome(s.Full) || losesSome(s.Small))
}

// fromPath says what part of the frames is lost on the way to a host: of the series that was just
// sent, or else of those that the agent has counted.
func fromPath(host string, p agentapi.PathStatus) (f diagnosis.Finding, lossy bool) {
	f = diagnosis.Finding{Code: diagnosis.TunnelLoss, Level: diagnosis.Warning, Network: p.Network}
	f.Mend = []string{"look at the counters of the interfaces on the way: ip -s -s link show"}
	s, known := freshSeries(p)
	switch {
	case known && losesSome(s.Full) && s.Small.Sent > 0 && !losesSome(s.Small):
		f.Summary = fmt.Sprintf("%s of %d bytes to host %s are lost, and no small one", lostOf(s.Full), p.FullSize, host)
		f.Evidence = []string{
			directions(s.Full, host), fmt.Sprintf("%d of %d small frames were answered", s.Small.Answered, s.Small.Sent),
		}
		f.Mend = append(f.Mend, fmt.Sprintf("of several ways to the host, one may have a smaller MTU; try: "+
			"vxlanctl network set %s mtu=SIZE   # on all hosts", p.Network))
		f.Level = lossLevel(s.Full)
	case known && (losesSome(s.Full) || losesSome(s.Small)):
		worse := s.Full
		if !losesSome(worse) {
			worse = s.Small
		}
		f.Summary = fmt.Sprintf("%s to host %s are lost%s", lostOf(worse), host, mostly(worse))
		f.Evidence = []string{directions(worse, host)}
		f.Level = lossLevel(worse)
	case !known && p.MTU == p.FullSize && p.Full.Sent >= leastCounted && p.Full.Sent-p.Full.Answered > leastLost:
		f.Summary = fmt.Sprintf("%d of %d frames to host %s were not answered in the last ten minutes",
			p.Full.Sent-p.Full.Answered, p.Full.Sent, host)
	default:
		return f, false
	}
	return f, true
}

func lostOf(c agentapi.SeriesCount) string { return fmt.Sprintf("%d of %d frames", c.Lost(), c.Sent) }

func lossLevel(c agentapi.SeriesCount) diagnosis.Level {
	if float64(c.Lost()) >= badLoss*float64(c.Sent) {
		return diagnosis.Failure
	}
	return diagnosis.Warning
}

// mostly says in which direction frames are lost, if it is one.
func mostly(c agentapi.SeriesCount) string {
	known := c.LostThere + c.LostBack
	switch {
	case 2*known < c.Lost():
	case c.LostThere >= leastLost && c.LostThere > 4*c.LostBack:
		return " on the way there"
	case c.LostBack >= leastLost && c.LostBack > 4*c.LostThere:
		return " on the way back"
	}
	return ""
}

func directions(c agentapi.SeriesCount, host string) string {
	if c.LostThere+c.LostBack == 0 {
		return fmt.Sprintf("%d of %d frames were answered; host %s does not say how many came", c.Answered, c.Sent, host)
	}
	return fmt.Sprintf("%d did not arrive at host %s, and %d of its answers did not arrive here",
		c.LostThere, host, c.LostBack)
}
