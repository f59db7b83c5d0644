package replicate

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/synctest"
	"time"
)

// A first copy may take hours between two questions; but a question that finds
// no answer and no sign of life ends the session.
func TestASessionRestsBetweenTwoQuestionsAndEndsInSilence(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		asked, to := io.Pipe()
		from, say := io.Pipe()
		s := &session{to: to, from: bufio.NewReader(from), close: func() error { return nil }, said: func() string { return firstLine("") }}
		defer to.Close()
		s.quiet = time.AfterFunc(silence, func() { _ = from.CloseWithError(errors.New("killed")) })
		go func() {
			questions := bufio.NewScanner(asked)
			for n := 0; questions.Scan(); n++ {
				switch n {
				case 0, 1:
					time.Sleep(silence - time.Second)
					fmt.Fprintln(say, `{"alive":true}`)
					time.Sleep(silence - time.Second)
					fmt.Fprintln(say, `{"answer":{}}`)
				}
			}
		}()
		var none struct{}
		for range 2 {
			must(t, s.ask(t.Context(), request{Do: "hello"}, &none))
			time.Sleep(3 * time.Hour)
		}
		began := time.Now()
		if err := s.ask(t.Context(), request{Do: "hello"}, &none); err == nil || time.Since(began) != silence {
			t.Errorf("after %v of silence: %v", time.Since(began), err)
		}
	})
}
