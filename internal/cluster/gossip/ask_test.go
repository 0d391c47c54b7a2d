package gossip

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/cluster/gossip/wire"
	"vxlan-driver/internal/cluster/gossip/wire/wiretest"
)

// startAnswering starts host i, which answers as given.
func startAnswering(t *testing.T, n *memnet, i int, answer func(context.Context, []byte) ([]byte, error), change ...func(*Config)) *host {
	t.Helper()
	h := startHost(t, n, i, change...)
	if answer != nil {
		h.AnswerWith(answer)
	}
	return h
}

// echo answers a question with itself and the host's number.
func echo(i int) func(context.Context, []byte) ([]byte, error) {
	return func(_ context.Context, question []byte) ([]byte, error) {
		return fmt.Appendf(nil, "%s to host %d", question, i), nil
	}
}

// asks asks host i, and returns what it answers, or the error.
func (h *host) asks(i int, question string) string {
	h.t.Helper()
	answer, err := h.Ask(h.t.Context(), cluster.Host{ID: wiretest.ID(uint16(i)), Name: hostName(i), Addr: hostAddr(i).Addr()}, []byte(question))
	if err != nil {
		return "error: " + err.Error()
	}
	return string(answer)
}

// Each host answers the one that asks, also when all ask all at once.
func TestHostsAskEachOther(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, n *memnet) {
		const count = 5
		var hosts []*host
		for i := 1; i <= count; i++ {
			hosts = append(hosts, startAnswering(t, n, i, echo(i)))
			hosts[i-1].announce(fmt.Sprint("c", i))
		}
		for i, h := range hosts {
			h.waitUntilSees(10*time.Second, expectOthers(i+1, count, nil))
		}
		var wg sync.WaitGroup
		for i, h := range hosts {
			for o := 1; o <= count; o++ {
				if o == i+1 {
					continue
				}
				wg.Go(func() {
					question := fmt.Sprintf("host %d", i+1)
					if got, want := h.asks(o, question), fmt.Sprintf("%s to host %d", question, o); got != want {
						t.Errorf("got %q, want %q", got, want)
					}
				})
			}
		}
		wg.Wait()
		hosts[0].mu.Lock()
		defer hosts[0].mu.Unlock()
		if len(hosts[0].questions.asked) > 0 {
			t.Error("answered questions are remembered")
		}
	})
}

// What a host says that gives no answer names the host and the reason.
func TestQuestionsThatAreNotAnswered(t *testing.T) {
	never := func(ctx context.Context, _ []byte) ([]byte, error) { <-ctx.Done(); return nil, ctx.Err() }
	tests := []struct {
		name   string
		answer func(context.Context, []byte) ([]byte, error)
		change func(*Config)
		want   string
	}{
		{"nobody answers there", nil, func(*Config) {}, `host host-2 (198.18.0.2) refuses to answer: "it answers no questions"`},
		{
			"the agent refuses", func(context.Context, []byte) ([]byte, error) { return nil, errors.New("not this\x1b[31m") }, func(*Config) {},
			`host host-2 (198.18.0.2) refuses to answer: "not this\x1b[31m"`,
		},
		{
			"a long reason", func(context.Context, []byte) ([]byte, error) { return nil, errors.New(strings.Repeat("ü", 5000)) }, func(*Config) {},
			`host host-2 (198.18.0.2) refuses to answer: "üüü`,
		},
		{
			"a long answer", func(context.Context, []byte) ([]byte, error) { return make([]byte, wire.MaxAnswer+1), nil }, func(*Config) {},
			"the answer has 1046529 bytes, at most 1046528 are allowed",
		},
		{"an old agent", echo(2), func(c *Config) { c.lastKind = wire.KindClaimAnswer }, "host host-2 (198.18.0.2) runs an older vxland that cannot be asked"},
		{"an agent that hangs", never, func(*Config) {}, "context deadline exceeded"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inVirtualTime(t, func(t *testing.T, n *memnet) {
				a := startAnswering(t, n, 1, echo(1))
				b := startAnswering(t, n, 2, tt.answer, tt.change)
				a.announce("c1")
				b.announce("c2")
				a.waitUntilSees(10*time.Second, expectOthers(1, 2, nil))
				if got := a.asks(2, "who?"); !strings.Contains(got, tt.want) {
					t.Errorf("got %s\nwant %s", got, tt.want)
				}
				if got := a.asks(3, "who?"); got != "error: host host-3 (198.18.0.3) is unreachable" {
					t.Errorf("an unknown host: %s", got)
				}
				if _, err := a.Ask(t.Context(), cluster.Host{Name: "b"}, make([]byte, wire.MaxQuestion+1)); err == nil || !strings.Contains(err.Error(), "at most 65536 are allowed") {
					t.Errorf("a long question: %v", err)
				}
			})
		})
	}
}

// The longest question and answer pass, with the longest label and encryption.
func TestLongestQuestionAndAnswer(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, n *memnet) {
		question, answer := bytes.Repeat([]byte("q"), wire.MaxQuestion), bytes.Repeat([]byte("a"), wire.MaxAnswer)
		label := func(c *Config) { c.Label = strings.Repeat("l", maxLabel) }
		a := startHost(t, n, 1, label)
		b := startAnswering(t, n, 2, func(_ context.Context, got []byte) ([]byte, error) {
			if !bytes.Equal(got, question) {
				t.Errorf("asked with %d bytes", len(got))
			}
			return answer, nil
		}, label)
		a.announce("c1")
		b.announce("c2")
		a.waitUntilSees(10*time.Second, expectOthers(1, 2, nil))
		if got := a.asks(2, string(question)); got != string(answer) {
			t.Errorf("got %.100s, %d bytes", got, len(got))
		}
	})
}

// A host answers only so many questions at once, and refuses what it has no room for. The others are
// answered as soon as there is room.
func TestHostRefusesTooManyQuestions(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, n *memnet) {
		answering := make(chan struct{})
		var mu sync.Mutex
		atOnce, most := 0, 0
		slow := func(_ context.Context, question []byte) ([]byte, error) {
			mu.Lock()
			atOnce++
			most = max(most, atOnce)
			mu.Unlock()
			<-answering
			mu.Lock()
			defer mu.Unlock()
			atOnce--
			return question, nil
		}
		a, b := startHost(t, n, 1), startAnswering(t, n, 2, slow)
		a.announce("c1")
		b.announce("c2")
		a.waitUntilSees(10*time.Second, expectOthers(1, 2, nil))
		const room = maxAnswering + maxQuestionsWaiting
		var wg sync.WaitGroup
		answered, refused := 0, 0
		for range room + 10 {
			wg.Go(func() {
				got := a.asks(2, "who?")
				mu.Lock()
				defer mu.Unlock()
				switch {
				case got == "who?":
					answered++
				case strings.Contains(got, errBusy.Error()):
					refused++
				default:
					t.Error(got)
				}
			})
		}
		time.Sleep(time.Second)
		synctest.Wait()
		mu.Lock()
		if refused != 10 || answered != 0 {
			t.Errorf("%d answered and %d refused, want 0 and 10", answered, refused)
		}
		mu.Unlock()
		close(answering)
		wg.Wait()
		if most != maxAnswering || answered != room {
			t.Errorf("%d at once, %d answered in the end", most, answered)
		}
	})
}

// An answer counts only from the host that was asked.
func TestAnswerOfAnotherHostIsIgnored(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, n *memnet) {
		asked := make(chan struct{})
		a := startHost(t, n, 1)
		b := startAnswering(t, n, 2, func(context.Context, []byte) ([]byte, error) { <-asked; return []byte("right"), nil })
		c := startHost(t, n, 3)
		for i, h := range []*host{a, b, c} {
			h.announce(fmt.Sprint("c", i+1))
		}
		a.waitUntilSees(10*time.Second, expectOthers(1, 3, nil))
		answer := make(chan string, 1)
		go func() { answer <- a.asks(2, "who?") }()
		synctest.Wait()
		time.Sleep(time.Second)
		a.mu.Lock()
		var number uint64
		for number = range a.questions.asked {
		}
		a.mu.Unlock()
		c.sendAnswer(hostKey(1), wire.Message{Kind: wire.KindAnswer, Number: number, Data: []byte("wrong")})
		time.Sleep(time.Second)
		close(asked)
		if got := <-answer; got != "right" {
			t.Errorf("got %q", got)
		}
	})
}

// A host that leaves is forgotten, also if the news that it is no member any more is quicker than its
// own word. Any other host that is lost is kept.
func TestLeaveThatComesLate(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, n *memnet) {
		a, b := startHost(t, n, 1), startHost(t, n, 2)
		a.announce("c1")
		b.announce("c2")
		a.waitUntilSees(10*time.Second, expectOthers(1, 2, nil))
		b.crash()
		a.waitUntilSees(time.Minute, "(host-2: c2)")
		b.mu.Lock()
		leave := b.replica.Leave()
		b.mu.Unlock()
		delegate{a.Plane}.receive(leave)
		if got := a.sees(); got != "" {
			t.Errorf("sees %s", got)
		}
		time.Sleep(time.Minute)
		if got := a.sees(); got != "" || a.log.Count("host left") != 1 {
			t.Errorf("a minute later it sees %q", got)
		}
	})
}

// A plane that ends while it asks and is asked leaves nothing behind.
func TestPlaneEndsWhileItAsks(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, n *memnet) {
		hang := func(ctx context.Context, _ []byte) ([]byte, error) { <-ctx.Done(); return nil, ctx.Err() }
		a, b := startAnswering(t, n, 1, hang), startAnswering(t, n, 2, hang)
		a.announce("c1")
		b.announce("c2")
		a.waitUntilSees(10*time.Second, expectOthers(1, 2, nil))
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			_, err := a.Ask(ctx, cluster.Host{ID: wiretest.ID(2), Addr: hostAddr(2).Addr()}, []byte("who?"))
			ended <- err
		}()
		time.Sleep(time.Second)
		b.crash()
		a.crash()
		cancel()
		if err := <-ended; err == nil {
			t.Error("it was answered")
		}
		if got := a.asks(2, "who?"); !strings.Contains(got, "is unreachable") {
			t.Errorf("afterwards: %s", got)
		}
	})
}
