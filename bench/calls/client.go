package calls

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
)

// Client sends orders to a server and waits for each answer.
type Client struct {
	cmd     *exec.Cmd
	stdin   io.Closer
	orders  *json.Encoder
	answers *json.Decoder
}

// Start starts the command, which is to call Serve.
func Start(cmd *exec.Cmd) (*Client, error) {
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start calls server: %w", err)
	}
	return &Client{cmd, in, json.NewEncoder(in), json.NewDecoder(out)}, nil
}

// Do sends an order and returns the answer.
func (c *Client) Do(o Order) (Answer, error) {
	if err := c.orders.Encode(o); err != nil {
		return Answer{}, fmt.Errorf("send order: %w", err)
	}
	var a Answer
	if err := c.answers.Decode(&a); err != nil {
		return Answer{}, fmt.Errorf("read answer: %w", err)
	}
	if a.Error != "" {
		return a, errors.New(a.Error)
	}
	return a, nil
}

// Close ends the server.
func (c *Client) Close() error { return errors.Join(c.stdin.Close(), c.cmd.Wait()) }
