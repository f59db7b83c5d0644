package hatest

import "time"

// Fault is a way to be broken. The zero value is none.
type Fault uint8

// The faults. Frozen and Refuse take the whole node, Contradict touches the
// pages only, the others take the part that a Breakage names.
const (
	None        Fault = iota
	Hang              // reads requests and does not answer until it ends
	Frozen            // as after SIGSTOP: the kernel accepts, nothing is read or sent until it ends
	Refuse            // nobody listens; open connections live, the port stays the node's
	Reset             // RST, after accept if both parts have it (a dial can fail by it), after the request if one has
	Drip              // headers, then one byte of the body, then a pause, and so on
	SlowHeaders       // the same from the first byte of the status line to the last header
	Cut               // the end of the connection in the middle of the body
	Oversize          // the true body and then blank lines without end, up to Breakage.Size
	Garbage           // bytes that are no HTTP
	Gzip              // the true body under Content-Encoding: gzip, asked for or not
	Redirect          // 302 to the same address
	Contradict        // 200 and a page that says two different things
)

var faultNames = [...]string{
	None: "none", Hang: "hang", Frozen: "frozen", Refuse: "refuse", Reset: "reset", Drip: "drip",
	SlowHeaders: "slow-headers", Cut: "cut", Oversize: "oversize", Garbage: "garbage", Gzip: "gzip",
	Redirect: "redirect", Contradict: "contradict",
}

func (f Fault) String() string {
	if int(f) < len(faultNames) {
		return faultNames[f]
	}
	return "unknown fault"
}

// Faults gives every fault but None.
func Faults() []Fault {
	all := make([]Fault, 0, len(faultNames)-1)
	for f := Hang; int(f) < len(faultNames); f++ {
		all = append(all, f)
	}
	return all
}

// Breakage is a fault and how it is done.
type Breakage struct {
	Fault Fault
	On    Part          // not heeded by Frozen and Refuse
	Pause time.Duration // Drip and SlowHeaders; 0 is a second
	Size  int64         // Oversize, in bytes; 0 is 1 GiB
}

// Break breaks the whole node in one way, in place of any fault before.
func (n *Node) Break(fault Fault) { n.BreakWith(Breakage{Fault: fault}) }

// BreakWith breaks as b says. On Pages or App it takes the place of that
// part's fault only, and None mends that part only; Frozen, Refuse and
// everything on the Whole take the place of all faults.
func (n *Node) BreakWith(b Breakage) {
	if b.Pause == 0 {
		b.Pause = time.Second
	}
	if b.Size == 0 {
		b.Size = 1 << 30
	}
	n.act(func(s *script) {
		if b.Fault == Frozen || b.Fault == Refuse {
			s.mend()
			s.door = b.Fault
			return
		}
		if b.On == Whole {
			s.mend()
		}
		for _, p := range b.On.each() {
			s.parts[p].broken = b
		}
	})
}

// Mend ends every fault, every lie and every set HTTP status. It does not
// start a killed node. Requests that hang are answered then.
func (n *Node) Mend() {
	n.act(func(s *script) {
		s.mend()
		s.lies = [2]*string{}
		s.parts[Pages].status, s.parts[App].status = 0, 0
	})
}

func (s *script) mend() {
	s.door = None
	s.parts[Pages].broken, s.parts[App].broken = Breakage{}, Breakage{}
}

// act changes the script and then the door.
func (n *Node) act(change func(*script)) {
	n.acting.Lock()
	n.edit(change)
	err := n.settle()
	n.acting.Unlock()
	if err != nil {
		n.failed(err)
	}
}
