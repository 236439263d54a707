import { badField, notFound, PosthornError } from '../errors.ts';
import { planFeatures, type Plan, type PlanFeature } from '../model/tenant.ts';
import type { RecordChange, Store } from '../store/store.ts';
import type { PlanVerbs } from './engine.ts';
import type { Tenants } from './tenants.ts';
import { Turns } from './turns.ts';

const NAME = /^[a-z0-9][a-z0-9_-]{0,63}$/;
const MAX_COUNT = 1_000_000_000;
const MAX_RETENTION_DAYS = 36_500;
/** Plans that a message names. */
const MAX_NAMED = 20;

export interface PlansOptions {
  store: Pick<Store, 'plans' | 'cluster'>;
  tenants: () => Pick<Tenants, 'list' | 'find'>;
  now: () => number;
  /** Limits of these tenants are other ones now. Resolves when the new ones are in force. */
  onChange: (tenantIds: readonly string[]) => Promise<void>;
}

/** What the operator sells: all plans in memory, and what they allow. */
export class Plans implements PlanVerbs {
  readonly #o: PlansOptions;
  readonly #plans = new Map<string, Plan>();
  /** Plans that tenants are being given at this moment, and how many. */
  readonly #beingGiven = new Map<string, number>();
  readonly #turns = new Turns();

  constructor(options: PlansOptions) {
    this.#o = options;
  }

  async load(): Promise<void> {
    for (const plan of await this.#o.store.plans.all()) this.#plans.set(plan.name, plan);
  }

  /** Puts in force what the store has; with all of them, since a default ends where another begins. */
  async follow(_changes: readonly RecordChange[] | 'everything'): Promise<void> {
    const changed = await this.#turns.take('', async () => {
      const stored = new Map((await this.#o.store.plans.all()).map((plan) => [plan.name, plan]));
      const names = new Set([...stored.keys(), ...this.#plans.keys()]);
      const others = [...names].filter((name) => {
        return JSON.stringify(stored.get(name)) !== JSON.stringify(this.#plans.get(name));
      });
      for (const name of others) {
        const plan = stored.get(name);
        if (plan) this.#plans.set(name, plan);
        else this.#plans.delete(name);
      }
      return others;
    });
    for (const name of changed) await this.#o.onChange(this.#tenantsWith(name));
  }

  list(): readonly Plan[] {
    return [...this.#plans.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  get(name: string): Plan {
    const plan = this.#plans.get(name);
    if (!plan) throw notFound('plan', name);
    return plan;
  }

  /** The plan that new tenants get; null without one. */
  get default(): Plan | null {
    return this.list().find(({ isDefault }) => isDefault) ?? null;
  }

  /** The plan of a tenant; null: no limits, every feature. */
  of(tenantId: string): Plan | null {
    const name = this.#o.tenants().find(tenantId)?.plan ?? null;
    return name === null ? null : (this.#plans.get(name) ?? null);
  }

  /** Throws PLAN_FEATURE_REQUIRED where the tenant's plan lacks one of these. */
  require(tenantId: string, ...features: readonly PlanFeature[]): void {
    const plan = this.of(tenantId);
    const missing = plan && features.find((feature) => !plan.features.includes(feature));
    if (plan && missing) {
      throw new PosthornError(
        'PLAN_FEATURE_REQUIRED',
        `The plan "${plan.name}" does not include "${missing}". Ask the operator for one that does.`,
      );
    }
  }

  put(input: Parameters<PlanVerbs['put']>[0]): Promise<Plan> {
    const { name, endpointLimit = null, eventsPerDay = null, retentionDays = null, isDefault = false } = input;
    if (!NAME.test(name)) {
      throw badField(
        'name',
        'must be 1 to 64 lower-case letters, digits, "_" or "-", and begin with a letter or digit',
      );
    }
    inRange('endpointLimit', endpointLimit, MAX_COUNT);
    inRange('eventsPerDay', eventsPerDay, MAX_COUNT);
    inRange('retentionDays', retentionDays, MAX_RETENTION_DAYS);
    const features = checkedFeatures(input.features ?? planFeatures);
    // All plans in one line: at most one of them is the default.
    return this.#turns.take('', async () => {
      const now = this.#o.now();
      const createdAt = this.#plans.get(name)?.createdAt ?? now;
      const plan = { name, endpointLimit, eventsPerDay, retentionDays, features, isDefault, createdAt, updatedAt: now };
      await this.#o.store.plans.put(plan);
      for (const other of this.#plans.values()) {
        if (isDefault && other.isDefault) this.#plans.set(other.name, { ...other, isDefault: false });
      }
      this.#plans.set(name, plan);
      await this.#o.onChange(this.#tenantsWith(name));
      return plan;
    });
  }

  remove(name: string): Promise<void> {
    return this.#turns.take('', async () => {
      const plan = this.get(name);
      const [tenantId] = this.#tenantsWith(name);
      if (tenantId !== undefined || this.#beingGiven.has(name)) {
        const who = tenantId === undefined ? 'A tenant' : `The tenant "${tenantId}"`;
        throw inUse(who, name);
      }
      this.#plans.delete(name); // from here on no tenant can be given it
      let isRemoved = false;
      try {
        isRemoved = await this.#o.store.plans.remove(name);
      } finally {
        if (!isRemoved) this.#plans.set(name, plan);
      }
      if (!isRemoved) throw inUse('A tenant', name); // given by another node a moment ago
    });
  }

  has(name: string): boolean {
    return this.#plans.has(name);
  }

  /** Gives a tenant a plan (`work` stores that) which cannot be removed meanwhile. BAD_REQUEST where there is none of this name. */
  async give<Result>(name: string | null, work: () => Promise<Result>): Promise<Result> {
    if (name === null) return work();
    if (!this.#plans.has(name)) throw this.none(name);
    this.#beingGiven.set(name, (this.#beingGiven.get(name) ?? 0) + 1);
    try {
      return await work();
    } finally {
      const left = this.#beingGiven.get(name)! - 1;
      if (left > 0) this.#beingGiven.set(name, left);
      else this.#beingGiven.delete(name);
    }
  }

  /** BAD_REQUEST: there is no plan of this name. */
  none(name: string): PosthornError {
    const names = [...this.#plans.keys()].filter((other) => other !== name).sort();
    const more = names.length > MAX_NAMED ? ` and ${names.length - MAX_NAMED} more` : '';
    const known =
      names.length === 0 ? 'there are none yet' : `there are ${names.slice(0, MAX_NAMED).join(', ')}${more}`;
    return badField('plan', `no plan has this name; ${known}`);
  }

  #tenantsWith(name: string): string[] {
    return this.#o
      .tenants()
      .list()
      .flatMap(({ id, plan }) => (plan === name ? id : []));
  }
}

function inUse(who: string, name: string): PosthornError {
  return new PosthornError('INVALID_STATE', `${who} has the plan "${name}". Give it another one first.`);
}

function inRange(field: string, value: number | null, max: number): void {
  if (value === null || (Number.isInteger(value) && value >= 0 && value <= max)) return;
  throw badField(field, `must be a whole number from 0 to ${max}, or null`);
}

function checkedFeatures(features: readonly PlanFeature[]): readonly PlanFeature[] {
  const unknown = features.find((feature) => !planFeatures.includes(feature));
  if (unknown !== undefined) throw badField('features', `"${unknown}" is none; there are ${planFeatures.join(', ')}`);
  return planFeatures.filter((feature) => features.includes(feature));
}
