package console

import (
	"testing"

	"github.com/understudy-ha/understudy/internal/ha"
	"github.com/understudy-ha/understudy/web/webtest"
)

func TestWhatAPersonPointsAtStaysUnderThePointerWhileThePageChanges(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.day()
	b := d.login(t)
	b.Go(d.URL + "/console/groups/mdm")
	x, y := b.Hover("Resume")
	webtest.Eval[bool](b, `window.own = new EventSource("/console/live"), own.addEventListener("change", async () => {
		for (let i = 0; i < 3; i++) await (await fetch(location.href)).text(); // by now the page has put what it fetched
		window.told = true;
	}), true`)
	b.Waits("the stream is open", func() bool { return webtest.Eval[bool](b, `own.readyState === EventSource.OPEN`) })
	d.groups.Lose("mdm", "core1") // puts bands above the buttons
	b.Waits("the page is told", func() bool { return webtest.Eval[bool](b, `!!window.told`) })
	b.Mouse(x, y)
	b.Sees("Sends clients back to the first node in order.")
}

func TestTheFocusStaysWhereItIsWhileThePageChanges(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.day()
	b := d.login(t)
	b.Go(d.URL + "/console/groups/mdm")
	webtest.Eval[bool](b, `[...document.querySelectorAll("main a")].find(a => a.textContent === "Switch").focus(), document.querySelector("details").open = true`)
	d.groups.Lose("mdm", "core1")
	b.Sees("The way back to core1")
	if at := webtest.Eval[string](b, `document.activeElement.textContent`); at != "Switch" {
		t.Errorf("the focus is on %.60q", at)
	}
	if !webtest.Eval[bool](b, `document.querySelector("details").open`) {
		t.Error("what was unfolded is folded")
	}
	b.Keys("\r")
	b.Sees("Sends clients to the node that you name.")
}

func TestAPressIsNotPassedToWhatTakesItsPlace(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.groups.Pair()
	b := d.login(t)
	b.Go(d.URL + "/console/groups/mdm")
	webtest.Eval[bool](b, `[...document.querySelectorAll("main a")].find(a => a.textContent === "Hold").focus(), true`)
	if _, err := d.groups.Act(t.Context(), "mdm", "hold", ha.Wish{Actor: "bert", Reason: "work on core1"}, false); err != nil {
		t.Fatal(err)
	}
	b.Sees("HELD")
	if at := webtest.Eval[string](b, `document.activeElement.textContent`); at == "Release" {
		t.Error("who was about to press Hold presses Release")
	}
}
