// The dialog that asks for an API key, where the server wants one.

import { h, icon } from "./dom.js";

/** A key from the visitor, or null; `refused`: one was given before and did not do. */
export function askKey(failure, refused) {
  return new Promise((resolve) => {
    const input = h("input", { type: "password", id: "key", name: "key", autocomplete: "off", required: true, "aria-describedby": "key-why" });
    const answer = () => (dialog.remove(), resolve(dialog.returnValue === "use" ? input.value.trim() : null));
    const why = refused ? failure.message : "This server answers those who have a key. It is kept until this tab is closed.";
    const dialog = h(
      "dialog", { class: "dialog", "aria-labelledby": "key-title", onclose: answer },
      h(
        "form", { method: "dialog" },
        h("h2", { id: "key-title" }, icon("key"), refused ? "This key does not do" : "An API key, please"),
        h("p", { id: "key-why", class: refused ? "warned" : "" }, why),
        h("label", { for: "key" }, "API key"), input,
        h(
          "div", { class: "buttons" },
          h("button", { class: "button plain", type: "button", onclick: () => dialog.close("") }, "Not now"),
          h("button", { class: "button", value: "use" }, "Use it"),
        ),
      ),
    );
    document.body.append(dialog);
    dialog.showModal();
  });
}
