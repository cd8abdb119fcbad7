/** The catalog as `czctl services list` shows it. */
import type { ServiceRow } from "../api/index.js";
import { formatRule, missingRules, type PlacedService, type Service, serviceKey } from "../catalog/index.js";

export function serviceRows(services: readonly Service[], placed: readonly PlacedService[]): ServiceRow[] {
  const consumed = new Map(placed.map(each => [serviceKey(each.service), each]));
  return services.map(service => {
    const { namespace, name, kind, ports, externalName, endpoints } = service;
    const own = consumed.get(serviceKey(service));
    const missing = missingRules(service).map(formatRule);
    const addresses = own === undefined ? [] : [own, ...own.endpoints].flatMap(each => each.addresses);
    return {
      namespace,
      name,
      kind,
      ports,
      consumed: own !== undefined,
      ...(missing.length === 0 ? {} : { missingRules: missing }),
      addresses: addresses.map(String),
      ...(externalName === undefined ? {} : { externalName }),
      endpoints: endpoints.filter(each => each.ready).length,
    };
  });
}
