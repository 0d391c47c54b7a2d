package gossip

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/cluster/gossip/guard"
	"vxlan-driver/internal/cluster/gossip/wire"
)

const (
	// maxAnswering is how many questions a host answers at once, and maxQuestionsWaiting how many
	// more wait. A person's question takes milliseconds, so a dozen of people may ask at a time.
	maxAnswering        = 4
	maxQuestionsWaiting = 28
	// maxAsking is how many questions are sent at once. A host takes twice as many streams of another
	// (guard.MaxStreamsPerAddr), and gossip needs the others.
	maxAsking = guard.MaxStreamsPerAddr / 2
	// answerTimeout bounds what an answer may take. The answer's way is bounded by StreamTimeout.
	answerTimeout = 10 * time.Second
	// askTimeout is longer than an answer and both ways take.
	askTimeout = 25 * time.Second
)

// errBusy is what a host says to whom it does not answer now.
var errBusy = errors.New("it is busy with the questions of others; try again")

// questions are those that this host asks, and those that it is asked.
type questions struct {
	waiting chan wire.Message // of other hosts
	sending sync.WaitGroup    // of this host
	tokens  chan struct{}     // one for each that is being sent

	// Guarded by Plane.mu.
	answer func(context.Context, []byte) ([]byte, error)
	asked  map[uint64]askedQuestion // by number
}

// askedQuestion is one that this host has asked.
type askedQuestion struct {
	number uint64
	host   wire.Key
	label  string            // of the host
	answer chan wire.Message // has room for one
}

func newQuestions() *questions {
	return &questions{
		waiting: make(chan wire.Message, maxQuestionsWaiting), tokens: make(chan struct{}, maxAsking),
		asked: make(map[uint64]askedQuestion),
	}
}

// AnswerWith sets what answers other hosts.
func (p *Plane) AnswerWith(answer func(context.Context, []byte) ([]byte, error)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.questions.answer = answer
}

// Ask asks a host, over streams, so that both messages may be long.
func (p *Plane) Ask(ctx context.Context, host cluster.Host, question []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	q, sent, err := p.sendQuestion(host, question)
	if err != nil {
		return nil, err
	}
	defer p.endQuestion(q)
	for {
		select {
		case err := <-sent:
			if err != nil {
				return nil, fmt.Errorf("host %s cannot be asked: %w", q.label, err)
			}
			sent = nil
		case m := <-q.answer:
			if m.Refusal != "" {
				return nil, fmt.Errorf("host %s refuses to answer: %q", q.label, m.Refusal)
			}
			return m.Data, nil
		case <-ctx.Done():
			return nil, fmt.Errorf("host %s has not answered: %w", q.label, ctx.Err())
		}
	}
}

// sendQuestion sends a question, and notes that an answer is awaited.
func (p *Plane) sendQuestion(host cluster.Host, question []byte) (q askedQuestion, sent <-chan error, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	key, _ := p.replica.Find(host.ID, host.Addr)
	node, isMember := p.peers.members[key]
	switch {
	case len(question) > wire.MaxQuestion:
		return q, nil, fmt.Errorf("ask host %s: the question has %d bytes, at most %d are allowed",
			host.Label(), len(question), wire.MaxQuestion)
	case !isMember || !p.running:
		return q, nil, fmt.Errorf("host %s is unreachable", host.Label())
	case !wire.KnowsKind(node.Meta, wire.KindQuestion):
		return q, nil, fmt.Errorf("host %s runs an older vxland that cannot be asked; install one version on all hosts",
			host.Label())
	}
	q = askedQuestion{number: rand.Uint64(), host: key, label: host.Label(), answer: make(chan wire.Message, 1)}
	p.questions.asked[q.number] = q
	data := p.encodeLocked(wire.Message{Kind: wire.KindQuestion, Number: q.number, Data: question})
	result := make(chan error, 1)
	p.questions.sending.Go(func() {
		p.questions.tokens <- struct{}{}
		result <- p.memberlist.SendReliable(&node, data)
		<-p.questions.tokens
	})
	return q, result, nil
}

// encodeLocked returns a message of this host in the format that all members accept.
func (p *Plane) encodeLocked(m wire.Message) []byte {
	m.Format, m.From = p.peers.commonFormat(p.cfg.formats), p.cfg.key()
	return m.Encode()
}

func (p *Plane) endQuestion(q askedQuestion) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.questions.asked, q.number)
}

// receiveQuestionLocked passes a question of a member on to answerLoop. The refusal for want of room
// is a packet: it must not need the room that answers need.
func (p *Plane) receiveQuestionLocked(m wire.Message) {
	m.Data = bytes.Clone(m.Data) // the rest is memberlist's
	select {
	case p.questions.waiting <- m:
	default:
		data := p.encodeLocked(wire.Message{Kind: wire.KindAnswer, Number: m.Number, Refusal: errBusy.Error()})
		p.outbox.queueMessage(p.peers.memberlistNode(m.From), data)
	}
}

// receiveAnswerLocked passes an answer on to whoever has asked that host. Any other answer comes too
// late, or was made up.
func (p *Plane) receiveAnswerLocked(m wire.Message) {
	q, asked := p.questions.asked[m.Number]
	if !asked || q.host != m.From {
		return
	}
	m.Data = bytes.Clone(m.Data)
	select {
	case q.answer <- m:
	default: // it was answered already
	}
}

// answerLoop answers questions, one after the other.
func (p *Plane) answerLoop(ctx context.Context) {
	for {
		select {
		case q := <-p.questions.waiting:
			answer := wire.Message{Kind: wire.KindAnswer, Number: q.Number}
			data, err := p.answerQuestion(ctx, q.Data)
			if err != nil {
				answer.Refusal = fmt.Sprintf("%.*s", wire.MaxRefusal/4, err)
			} else {
				answer.Data = data
			}
			p.sendAnswer(q.From, answer)
		case <-ctx.Done():
			return
		}
	}
}

// answerQuestion returns the answer to a question, if it fits a message.
func (p *Plane) answerQuestion(ctx context.Context, question []byte) ([]byte, error) {
	p.mu.Lock()
	find := p.questions.answer
	p.mu.Unlock()
	if find == nil {
		return nil, errors.New("it answers no questions")
	}
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	answer, err := find(ctx, question)
	if err == nil && len(answer) > wire.MaxAnswer {
		err = fmt.Errorf("the answer has %d bytes, at most %d are allowed", len(answer), wire.MaxAnswer)
	}
	return answer, err
}

func (p *Plane) sendAnswer(to wire.Key, answer wire.Message) {
	p.mu.Lock()
	node, isMember := p.peers.members[to]
	data := p.encodeLocked(answer)
	p.mu.Unlock()
	if isMember {
		p.outbox.sendStream(envelope{node, data})
	}
}

// declaration is what this host declares to the others.
func (c Config) declaration() []byte {
	return wire.Declaration(c.formats, cmp.Or(c.lastKind, wire.LastKind))
}
