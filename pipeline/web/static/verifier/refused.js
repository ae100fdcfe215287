/** What is shown is refused; `reason` is a code of docs/reasons.md. */
export class RefusedError extends Error {
  constructor(reason) {
    super(reason);
    this.name = "RefusedError";
    this.reason = reason;
  }
}

/** Refuse for this reason unless the condition holds. */
export function demand(holds, reason) {
  if (!holds) throw new RefusedError(reason);
}
