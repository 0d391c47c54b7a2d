package cluster

import "context"

// Asker is a plane by which an agent asks the agents of other hosts. What a question is, only agents
// know. The plane bounds how long both may be, and how many a host answers at once.
type Asker interface {
	// Ask asks a host, and returns its answer. It is an error if the host is not reachable, cannot be
	// asked, refuses, or has not answered by the time that ctx is done.
	Ask(ctx context.Context, host Host, question []byte) (answer []byte, err error)
	// AnswerWith sets what answers the questions of other hosts, several at a time. Without it this
	// host refuses all.
	AnswerWith(answer func(ctx context.Context, question []byte) ([]byte, error))
}
