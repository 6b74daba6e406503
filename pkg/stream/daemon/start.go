package daemon

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/liveboot/liveboot/pkg/kernel/nbd"
)

// A Process is the streaming process, as the one sees it that started it.
type Process struct {
	input    *os.File
	output   *os.File
	messages *json.Decoder
	process  *os.Process
}

// Start starts program, whose main calls Main, with environment, and gives it the job. It must be called before anything of the live system's
// root is mounted, which the process's own mount namespace would keep in use.
func Start(program string, environment []string, job Job) (_ *Process, err error) {
	p := new(Process)
	itsInput, input, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("start the streaming process: %w", err)
	}
	output, itsOutput, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start the streaming process: %w", err), itsInput.Close(), input.Close())
	}
	p.input, p.output, p.messages = input, output, json.NewDecoder(output)
	p.process, err = os.StartProcess(program, []string{Name, Argument}, &os.ProcAttr{
		Dir: "/", Env: environment, Files: []*os.File{os.Stdin, os.Stdout, os.Stderr, itsInput, itsOutput},
		Sys: &unix.SysProcAttr{Unshareflags: unix.CLONE_NEWNS},
	})
	if err := errors.Join(err, itsInput.Close(), itsOutput.Close()); err != nil {
		return nil, errors.Join(fmt.Errorf("start the streaming process: %w", err), p.Close())
	}
	if err := job.Write(input); err != nil {
		return nil, errors.Join(err, p.Kill())
	}
	return p, nil
}

// Receive waits for the next message. Its error is io.EOF when the process has ended.
func (p *Process) Receive() (Message, error) {
	var m Message
	err := p.messages.Decode(&m)
	return m, err
}

// Send sends a command.
func (p *Process) Send(c Command) error {
	if err := json.NewEncoder(p.input).Encode(c); err != nil {
		return fmt.Errorf("tell the streaming process: %w", err)
	}
	return nil
}

// Close lets go of the process, which goes on, with Command.Fill if it was not told before.
func (p *Process) Close() error { return errors.Join(p.input.Close(), p.output.Close()) }

// Kill ends the process, and with it the device.
func (p *Process) Kill() error {
	err := p.process.Kill()
	if _, waitErr := p.process.Wait(); err == nil {
		err = waitErr
	}
	return errors.Join(err, p.Close())
}

// A Module is one of the kernel's, with the parameters that it needs.
type Module struct{ Name, Parameters string }

// Modules returns those that the process needs. Those of the image's place are not among them.
func Modules() []Module { return []Module{{"nbd", nbd.Parameters}, {"dm_mod", ""}} }
